//! Whether a history of appends to lists, and of reads of them, can have come about one transaction after the other, in an order
//! that agrees with real time.
//!
//! A list that was read tells in which order all that is in it was appended, and so which transaction has seen, or has not seen, which
//! other one: the edges of a graph. The history is strictly serializable if the graph has no cycle, and if no transaction has read
//! what it must not. The graph and the names of its cycles are Adya's ("Weak Consistency: A Generalized Theory and Optimistic
//! Implementations for Distributed Transactions", 1999); that lists show the order of versions, and how the graph is read off from them,
//! is from Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020).
//!
//! | found | meaning |
//! |---|---|
//! | `internal` | a transaction does not see what it has done itself, or reads one list twice and differently |
//! | `garbage`, `doubled` | a list has a value that nobody has appended, or one value twice |
//! | `order` | two reads of one list cannot both be the beginning of one |
//! | `lost` | a value whose transaction had returned was not there later |
//! | `G1a` | a value was read whose transaction, or nested function, was rolled back |
//! | `G1b` | a state was read that was not the last one of its transaction |
//! | `G0`, `G1c` | a cycle of writes; of writes and reads of them |
//! | `G-single` | a cycle with one read of what another one has replaced: a lost update, a mixture |
//! | `G2-item` | a cycle with several of those: write skew |
//! | `G2` | one that rests on something not being in a range: a phantom |
//! | `realtime` | a cycle only together with what had returned before something else was called |

mod graph;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::graph::{Edge, Graph};
use super::history::{Op, Outcome, Transaction};

/// What cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anomaly {
    pub(crate) kind: &'static str,
    /// Where, for people. Transactions are named by their lines in the history.
    pub(crate) what: String,
}

impl Anomaly {
    pub(crate) fn new(kind: &'static str, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

/// All anomalies that are not a cycle, and of each cycle's kind one in each knot of the graph.
pub(crate) fn check(history: &[Transaction]) -> Vec<Anomaly> {
    let mut checker = Checker { history, values: HashMap::new(), lists: HashMap::new(), reads: Vec::new(), found: Vec::new() };
    checker.index_appends();
    checker.index_reads();
    checker.check_lists();
    checker.check_reads();
    let graph = checker.graph();
    let mut found = checker.found;
    found.extend(graph.cycles());
    found
}

struct Checker<'a> {
    history: &'a [Transaction],
    /// Who has appended what, by key and value.
    values: HashMap<(u64, u64), Appended>,
    lists: HashMap<u64, List<'a>>,
    reads: Vec<Read<'a>>,
    found: Vec<Anomaly>,
}

struct Appended {
    by: usize,
    /// By a nested function that has failed.
    is_undone: bool,
    /// Whether nothing else was appended to that list by the same transaction later.
    is_last: bool,
    /// Where in the list it is.
    at: Option<usize>,
}

/// What is known of a list.
#[derive(Default)]
struct List<'a> {
    longest: &'a [u64],
    /// The call of the last transaction that has read it.
    last_read: Option<u64>,
}

/// What a transaction has seen of others.
struct Read<'a> {
    by: usize,
    key: u64,
    list: &'a [u64],
    in_range: bool,
}

/// What a transaction has appended to a list and seen of it, up to some operation.
#[derive(Default)]
struct Own<'a> {
    appended: Vec<u64>,
    seen: Option<&'a [u64]>,
}

impl<'a> Checker<'a> {
    fn index_appends(&mut self) {
        for (by, transaction) in self.history.iter().enumerate().filter(|(_, one)| one.outcome != Outcome::Attempt) {
            let (mut kept, mut begun) = (Vec::new(), Vec::new());
            let mut append = |key, value, is_undone| {
                let appended = Appended { by, is_undone, is_last: false, at: None };
                if self.values.insert((key, value), appended).is_some() {
                    self.found
                        .push(Anomaly::new("misused", format!("T{by} appends {value} to {key}, which was appended before")));
                }
            };
            for op in &transaction.ops {
                match op {
                    Op::Append(key, value) => kept.push((*key, *value)),
                    Op::Begin => begun.push(kept.len()),
                    Op::Keep => drop(begun.pop()),
                    Op::Undo => {
                        let undone = kept.drain(begun.pop().unwrap_or_default()..);
                        undone.for_each(|(key, value)| append(key, value, true));
                    }
                    Op::Read(..) | Op::Absent(_) => {}
                }
            }
            kept.iter().for_each(|(key, value)| append(*key, *value, false));
            let last: HashMap<u64, u64> = kept.into_iter().collect();
            for appended in last {
                self.values.entry(appended).and_modify(|appended| appended.is_last = true);
            }
        }
    }

    /// Takes apart what transactions have seen of themselves and what of others.
    fn index_reads(&mut self) {
        for (by, transaction) in self.history.iter().enumerate().filter(|(_, one)| one.outcome != Outcome::Unknown) {
            let mut own: HashMap<u64, Own<'a>> = HashMap::new();
            let (mut appended, mut begun) = (Vec::new(), Vec::new());
            for op in &transaction.ops {
                let (key, list, in_range) = match op {
                    Op::Append(key, value) => {
                        own.entry(*key).or_default().appended.push(*value);
                        appended.push(*key);
                        continue;
                    }
                    Op::Begin => {
                        begun.push(appended.len());
                        continue;
                    }
                    Op::Keep => {
                        begun.pop();
                        continue;
                    }
                    Op::Undo => {
                        for key in appended.drain(begun.pop().unwrap_or_default()..) {
                            own.entry(key).or_default().appended.pop();
                        }
                        continue;
                    }
                    Op::Read(key, list) => (*key, &**list, false),
                    Op::Absent(key) => (*key, &[][..], true),
                };
                let own = own.entry(key).or_default();
                let of_others = list.strip_suffix(&*own.appended);
                match of_others.filter(|now| own.seen.is_none_or(|before| before == *now)) {
                    Some(now) => {
                        own.seen = Some(now);
                        self.reads.push(Read { by, key, list: now, in_range });
                    }
                    None => {
                        let (appended, before) = (&own.appended, own.seen);
                        let what = format!("T{by} reads {list:?} of {key}, has appended {appended:?} and read {before:?} before");
                        self.found.push(Anomaly::new("internal", what));
                    }
                }
            }
        }
    }

    fn check_lists(&mut self) {
        for Read { by, key, list, .. } in &self.reads {
            let known = self.lists.entry(*key).or_default();
            if list.len() > known.longest.len() {
                known.longest = list;
            }
            known.last_read = known.last_read.max(Some(self.history[*by].start));
        }
        for (key, List { longest, .. }) in &self.lists {
            for (at, value) in longest.iter().enumerate() {
                let what = || format!("{value} is in {longest:?}, which is {key}");
                let Some(appended) = self.values.get_mut(&(*key, *value)) else {
                    self.found.push(Anomaly::new("garbage", what()));
                    continue;
                };
                if appended.at.replace(at).is_some() {
                    self.found.push(Anomaly::new("doubled", what()));
                }
                if appended.is_undone || self.history[appended.by].outcome == Outcome::Failed {
                    let how = if appended.is_undone { "undone" } else { "rolled back" };
                    self.found.push(Anomaly::new("G1a", format!("{}; by T{}, {how}", what(), appended.by)));
                }
            }
        }
        for ((key, value), appended) in &self.values {
            let Transaction { outcome, end, .. } = self.history[appended.by];
            let last_read = self.lists.get(key).and_then(|list| list.last_read);
            let must_be_there = outcome == Outcome::Committed && !appended.is_undone && last_read > Some(end);
            if must_be_there && appended.at.is_none() {
                self.found.push(Anomaly::new("lost", format!("{value}, which T{} has appended to {key}", appended.by)));
            }
        }
    }

    fn check_reads(&mut self) {
        for Read { by, key, list, .. } in &self.reads {
            let longest = self.lists[key].longest;
            if !longest.starts_with(list) {
                self.found.push(Anomaly::new("order", format!("T{by} reads {list:?} of {key}, which is {longest:?}")));
            }
            let last = list.last().and_then(|last| self.values.get(&(*key, *last)));
            if let Some(last) = last.filter(|last| !last.is_last && !last.is_undone && last.by != *by) {
                self.found.push(Anomaly::new("G1b", format!("T{by} reads {list:?} of {key}, and T{} appends more", last.by)));
            }
        }
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::new(self.history.len());
        let writer = |key: u64, list: &[u64], at: usize| {
            let appended = self.values.get(&(key, *list.get(at)?))?;
            Some(appended.by).filter(|_| !appended.is_undone)
        };
        for (key, List { longest, .. }) in &self.lists {
            for at in 1..longest.len() {
                if let (Some(before), Some(after)) = (writer(*key, longest, at - 1), writer(*key, longest, at)) {
                    graph.add(before, after, Edge::WriteWrite, *key);
                }
            }
        }
        for Read { by, key, list, in_range } in &self.reads {
            let longest = self.lists[key].longest;
            if let Some(before) = list.len().checked_sub(1).and_then(|last| writer(*key, list, last)) {
                graph.add(before, *by, Edge::WriteRead, *key);
            }
            if let Some(after) = writer(*key, longest, list.len()) {
                graph.add(*by, after, if *in_range { Edge::RangeWrite } else { Edge::ReadWrite }, *key);
            }
        }
        self.add_real_time(&mut graph);
        graph
    }

    /// Who had returned before who was called. Only from those that no later one had been called after and returned: the others come
    /// before by way of these.
    fn add_real_time(&self, graph: &mut Graph) {
        let mut calls: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * self.history.len());
        for (index, transaction) in self.history.iter().enumerate() {
            calls.push((transaction.start, false, index));
            if transaction.outcome != Outcome::Unknown {
                calls.push((transaction.end, true, index));
            }
        }
        // What happens at one moment is concurrent: calls before returns.
        calls.sort_unstable();
        let mut newest: Vec<usize> = Vec::new();
        let mut before: HashMap<usize, Vec<usize>> = HashMap::new();
        for (_, is_return, index) in calls {
            if is_return {
                let older = before.remove(&index).unwrap_or_default();
                newest.retain(|other| !older.contains(other));
                newest.push(index);
            } else {
                newest.iter().for_each(|earlier| graph.add(*earlier, index, Edge::RealTime, 0));
                before.insert(index, newest.clone());
            }
        }
    }
}
