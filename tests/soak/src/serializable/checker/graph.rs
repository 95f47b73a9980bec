//! Which transaction comes before which other one, and why; and the cycles in that.

use std::collections::{HashMap, VecDeque};

use super::Anomaly;
use Edge::{RangeWrite, ReadWrite, RealTime, WriteRead, WriteWrite};

/// Why one transaction comes before another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Its value is followed by the other one's.
    WriteWrite,
    /// Its value was read by the other one.
    WriteRead,
    /// It has read a list without the other one's value.
    ReadWrite,
    /// It has found nothing in a range where the other one has put something.
    RangeWrite,
    /// It had returned before the other one was called.
    RealTime,
}

/// The kinds of cycles, the worst first: what one of its edges is, and what the others are.
const KINDS: &[(&str, Edge, &[Edge])] = &[
    ("G0", WriteWrite, &[WriteWrite]),
    ("G1c", WriteRead, &[WriteWrite, WriteRead]),
    ("G-single", ReadWrite, &[WriteWrite, WriteRead]),
    ("G2-item", ReadWrite, &[WriteWrite, WriteRead, ReadWrite]),
    ("G2", RangeWrite, &[WriteWrite, WriteRead, ReadWrite, RangeWrite]),
    ("realtime", RealTime, &[WriteWrite, WriteRead, ReadWrite, RangeWrite, RealTime]),
];

/// So many edges of a knot are tried for each kind, since each takes a search.
const TRIES: usize = 1000;

pub(super) struct Graph {
    /// For each transaction: which come after it, and why, on which key.
    edges: Vec<Vec<(usize, Edge, u64)>>,
}

impl Graph {
    pub(super) fn new(transactions: usize) -> Self {
        Self { edges: vec![Vec::new(); transactions] }
    }

    /// A transaction may come before itself in any way that it likes.
    pub(super) fn add(&mut self, before: usize, after: usize, edge: Edge, key: u64) {
        if before != after {
            self.edges[before].push((after, edge, key));
        }
    }

    /// A cycle of the worst kind in each knot.
    pub(super) fn cycles(&self) -> Vec<Anomaly> {
        let knots = self.knots();
        let mut of_knot: HashMap<usize, Vec<usize>> = HashMap::new();
        for (transaction, knot) in knots.iter().enumerate() {
            of_knot.entry(*knot).or_default().push(transaction);
        }
        let tied = of_knot.into_values().filter(|knot| knot.len() > 1);
        tied.filter_map(|knot| KINDS.iter().find_map(|kind| self.cycle(&knots, &knot, kind))).collect()
    }

    fn cycle(&self, knots: &[usize], knot: &[usize], kind: &(&'static str, Edge, &[Edge])) -> Option<Anomaly> {
        let (name, first, others) = kind;
        let begin = knot.iter().flat_map(|from| self.edges[*from].iter().map(move |edge| (*from, edge)));
        let begin = begin.filter(|(from, (to, edge, _))| edge == first && knots[*from] == knots[*to]).take(TRIES);
        begin.into_iter().find_map(|(from, (to, edge, key))| {
            let way = self.way(knots, *to, from, others)?;
            let steps = std::iter::once(&(from, *edge, *key, *to)).chain(&way).map(step).collect::<Vec<_>>();
            Some(Anomaly::new(name, steps.join(", ")))
        })
    }

    /// The shortest way from one transaction to another one, within their knot.
    fn way(&self, knots: &[usize], from: usize, to: usize, allowed: &[Edge]) -> Option<Vec<(usize, Edge, u64, usize)>> {
        let mut came: HashMap<usize, (usize, Edge, u64, usize)> = HashMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(at) = next.pop_front() {
            if at == to {
                let mut way = Vec::new();
                let mut at = to;
                while at != from {
                    way.push(came[&at]);
                    at = came[&at].0;
                }
                way.reverse();
                return Some(way);
            }
            for (after, edge, key) in &self.edges[at] {
                let is_new = *after != from && !came.contains_key(after);
                if is_new && allowed.contains(edge) && knots[*after] == knots[to] {
                    came.insert(*after, (at, *edge, *key, *after));
                    next.push_back(*after);
                }
            }
        }
        None
    }

    /// For each transaction the number of its knot: those that come both before and after each other (strongly connected components,
    /// after Tarjan, "Depth-First Search and Linear Graph Algorithms", 1972).
    fn knots(&self) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let count = self.edges.len();
        let (mut seen_as, mut lowest, mut knots) = (vec![UNSEEN; count], vec![0; count], vec![UNSEEN; count]);
        let (mut seen, mut ended) = (0, 0);
        let (mut open, mut path) = (Vec::new(), Vec::new());
        for root in 0..count {
            if seen_as[root] == UNSEEN {
                path.push((root, 0));
            }
            while let Some((at, edge)) = path.pop() {
                if edge == 0 {
                    (seen_as[at], lowest[at]) = (seen, seen);
                    seen += 1;
                    open.push(at);
                } else {
                    let (came_from, ..) = self.edges[at][edge - 1];
                    lowest[at] = lowest[at].min(lowest[came_from]);
                }
                let unseen = self.edges[at].iter().enumerate().skip(edge).find(|(_, (after, ..))| {
                    if knots[*after] == UNSEEN && seen_as[*after] != UNSEEN {
                        lowest[at] = lowest[at].min(seen_as[*after]);
                    }
                    seen_as[*after] == UNSEEN
                });
                if let Some((edge, (after, ..))) = unseen {
                    path.extend([(at, edge + 1), (*after, 0)]);
                } else if lowest[at] == seen_as[at] {
                    while let Some(member) = open.pop() {
                        knots[member] = ended;
                        if member == at {
                            break;
                        }
                    }
                    ended += 1;
                }
            }
        }
        knots
    }
}

/// A step of a cycle, in words.
fn step((from, edge, key, to): &(usize, Edge, u64, usize)) -> String {
    let how = match edge {
        WriteWrite => format!("appends to {key} before"),
        WriteRead => format!("appends to {key} what is read by"),
        ReadWrite => format!("reads {key} without what is appended by"),
        RangeWrite => format!("finds nothing in a range, at {key}, where something is put by"),
        RealTime => "has returned before the call of".to_owned(),
    };
    format!("T{from} {how} T{to}")
}
