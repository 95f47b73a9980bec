//! Transactions that append to lists and read them, in all the ways that the public API has.
//!
//! An object has two lists, so that those who append to one need not be in conflict with those who append to the other. The key of a
//! list is twice the number of its object, plus one for the right list.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use metaparticle::{Durability, Error, Mut, Ref, Store, TransactionOptions, Tx, persistent, transactional};

use super::event::{Event, unexpected};
use super::history::{Op, Outcome, Transaction};
use super::invariants::clear_all;
use super::now;

/// So many objects are in use at a time, and each for so many transactions.
const IN_USE: u64 = 6;
const USES: u64 = 40;

/// Two lists. The first part of the key is the round.
#[persistent(default, key = (u64, u64))]
#[derive(Clone)]
pub(super) struct Lists {
    left: Vec<u64>,
    right: Vec<u64>,
}

/// Why a body has ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// As planned.
    Planned,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What a planned panic has with it.
struct PlannedPanic;

/// What a transaction is to do.
#[derive(Debug)]
pub(super) struct Plan {
    round: u64,
    steps: Vec<Step>,
    end: End,
    read_only: bool,
    durability: Durability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeed,
    Fail,
    Panic,
}

#[derive(Debug)]
enum Step {
    Append {
        key: u64,
        value: u64,
        how: u8,
    },
    Read {
        key: u64,
        how: u8,
    },
    Range {
        from: u64,
        to: u64,
        how: u8,
    },
    Nested {
        steps: Vec<Step>,
        end: End,
    },
    /// Lets others come in between.
    Yield,
}

/// What the planners of a process share, so that they all work on the same objects.
#[derive(Debug, Default)]
pub(super) struct Shift(AtomicU64);

/// Makes plans.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pub(super) round: u64,
    pub(super) random: fastrand::Rng,
    pub(super) shift: &'a Shift,
    /// The next value to append, and the distance to the one after it: no value is appended twice.
    pub(super) value: u64,
    pub(super) stride: u64,
    /// How many processes shift.
    pub(super) processes: u64,
}

impl Planner<'_> {
    pub(super) fn plan(&mut self) -> Plan {
        let first = self.shift.0.fetch_add(self.processes, Ordering::Relaxed) / USES;
        let read_only = self.random.u8(..100) < 20;
        let count = self.random.usize(1..=6);
        let steps = self.steps(first, count, read_only, 0);
        let end = self.end();
        let durability = if self.random.u8(..100) < 5 { Durability::Immediate } else { Durability::Eventual };
        Plan { round: self.round, steps, end, read_only, durability }
    }

    fn end(&mut self) -> End {
        match self.random.u8(..100) {
            ..5 => End::Fail,
            5..7 => End::Panic,
            _ => End::Succeed,
        }
    }

    fn steps(&mut self, first: u64, count: usize, read_only: bool, depth: u32) -> Vec<Step> {
        (0..count).map(|_| self.step(first, read_only, depth)).collect()
    }

    fn step(&mut self, first: u64, read_only: bool, depth: u32) -> Step {
        let key = 2 * first + self.random.u64(..2 * IN_USE);
        let how = self.random.u8(..);
        match self.random.u8(..100) {
            ..40 if !read_only => {
                self.value += self.stride;
                Step::Append { key, value: self.value, how }
            }
            40..50 => {
                // Also objects that are not there yet.
                let from = first + self.random.u64(..IN_USE + 2);
                Step::Range { from, to: from + self.random.u64(1..5), how }
            }
            50..62 if depth < 2 => {
                let count = self.random.usize(1..=3);
                let steps = self.steps(first, count, read_only, depth + 1);
                let end = match self.random.u8(..4) {
                    0 => End::Fail,
                    1 => End::Panic,
                    _ => End::Succeed,
                };
                Step::Nested { steps, end }
            }
            62..65 => Step::Yield,
            _ => Step::Read { key, how },
        }
    }
}

impl Plan {
    fn options(&self) -> TransactionOptions {
        let options = TransactionOptions::new().name("lists").durability(self.durability);
        if self.read_only { options.read_only() } else { options }
    }

    fn body(&self, store: &Store, tx: &Tx, attempts: &RefCell<Vec<Vec<Op>>>) -> Result<(), Stop> {
        attempts.borrow_mut().push(Vec::new());
        let note = |op| attempts.borrow_mut().last_mut().expect("one has begun").push(op);
        let work = Work { store, tx, round: self.round, note: &note };
        work.run(&self.steps)?;
        self.end.end()
    }

    /// Runs it. With `attempts`, also what has become of attempts before the last one.
    pub(super) fn run(&self, store: &Store, client: u64, with_attempts: bool) -> Vec<Event> {
        let (start, attempts) = (now(), RefCell::default());
        let run = || store.transaction_with(self.options(), |tx| self.body(store, tx, &attempts));
        let result = catch_unwind(AssertUnwindSafe(run));
        let end = now();
        history(client, (start, end), attempts.into_inner(), result.unwrap_or_else(planned), with_attempts)
    }

    /// The same in a future.
    pub(super) async fn run_async(&self, store: &Store, client: u64, with_attempts: bool) -> Vec<Event> {
        let (start, attempts) = (now(), RefCell::default());
        let run = store.transaction_async_with(self.options(), |tx| self.body(store, tx, &attempts));
        let result = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(run)).await;
        let end = now();
        history(client, (start, end), attempts.into_inner(), result.unwrap_or_else(planned), with_attempts)
    }
}

/// What a caught panic is, unless it was not planned.
fn planned(panic: Box<dyn std::any::Any + Send>) -> Result<(), Stop> {
    if panic.is::<PlannedPanic>() { Err(Stop::Planned) } else { resume_unwind(panic) }
}

fn history(
    client: u64,
    (start, end): (u64, u64),
    mut attempts: Vec<Vec<Op>>,
    result: Result<(), Stop>,
    with_attempts: bool,
) -> Vec<Event> {
    let mut last = attempts.pop().unwrap_or_default();
    let outcome = match &result {
        Ok(()) => Outcome::Committed,
        Err(Stop::Planned) => Outcome::Failed,
        Err(Stop::Error(error)) if error.is_indeterminate() => Outcome::Unknown,
        Err(Stop::Error(_)) => Outcome::Failed,
    };
    if matches!(result, Err(Stop::Error(_))) && outcome == Outcome::Failed && !with_attempts {
        // What it has read may have been read ahead, from what was never committed; nobody was given it.
        last.retain(|op| !matches!(op, Op::Read(..) | Op::Absent(_)));
    }
    let attempts = if with_attempts { attempts } else { Vec::new() };
    let attempts = attempts.into_iter().filter(|ops| !ops.is_empty()).map(|ops| (Outcome::Attempt, ops));
    let all = attempts.chain([(outcome, last)]).map(|(outcome, ops)| Transaction { outcome, client, start, end, ops });
    let unexpected = if let Err(Stop::Error(error)) = &result { unexpected(error) } else { None };
    all.map(Event::Lists).chain(unexpected).collect()
}

impl End {
    fn end(self) -> Result<(), Stop> {
        match self {
            Self::Succeed => Ok(()),
            Self::Fail => Err(Stop::Planned),
            // As a panic, without the message on standard error.
            Self::Panic => resume_unwind(Box::new(PlannedPanic)),
        }
    }
}

/// An attempt at work.
struct Work<'a> {
    store: &'a Store,
    tx: &'a Tx,
    round: u64,
    note: &'a dyn Fn(Op),
}

impl Work<'_> {
    fn run(&self, steps: &[Step]) -> Result<(), Stop> {
        steps.iter().try_for_each(|step| match step {
            Step::Append { key, value, how } => self.append(*key, *value, *how),
            Step::Read { key, how } => self.read(*key, *how),
            Step::Range { from, to, how } => self.range(*from, *to, *how),
            Step::Nested { steps, end } => self.nested(steps, *end),
            Step::Yield => {
                std::thread::yield_now();
                Ok(())
            }
        })
    }

    fn append(&self, list: u64, value: u64, how: u8) -> Result<(), Stop> {
        let (tx, key) = (self.tx, (self.round, list / 2));
        let is_left = list.is_multiple_of(2);
        match how % 6 {
            0 if is_left => tx.get_mut::<Lists>(key)?.left.push(value),
            0 => tx.get_mut::<Lists>(key)?.right.push(value),
            1 if is_left => tx.get_mut::<Lists>(key)?.left_mut().push(value),
            1 => tx.get_mut::<Lists>(key)?.right_mut().push(value),
            2 => append(key, is_left, value)?,
            3 => append_with_accessors(key, is_left, value)?,
            how => {
                let mut lists = Lists::clone(&*tx.get::<Lists>(key)?);
                if is_left { &mut lists.left } else { &mut lists.right }.push(value);
                if how == 5 {
                    tx.remove::<Lists>(key)?;
                }
                tx.insert(key, lists)?;
            }
        }
        (self.note)(Op::Append(list, value));
        Ok(())
    }

    fn read(&self, list: u64, how: u8) -> Result<(), Stop> {
        let (tx, object) = (self.tx, list / 2);
        let key = (self.round, object);
        let is_left = list.is_multiple_of(2);
        match how % 5 {
            0 => self.saw(object, &*tx.get::<Lists>(key)?),
            1 => match tx.get::<Option<Lists>>(key)? {
                Some(lists) => self.saw(object, &lists),
                None => self.saw(object, &Lists { left: Vec::new(), right: Vec::new() }),
            },
            2 => {
                let lists = tx.get_mut::<Lists>(key)?;
                (self.note)(Op::Read(list, if is_left { lists.left() } else { lists.right() }.clone()));
            }
            3 => (self.note)(Op::Read(list, look(key, is_left)?)),
            _ if !tx.contains::<Lists>(key)? => self.saw(object, &Lists { left: Vec::new(), right: Vec::new() }),
            _ => {}
        }
        Ok(())
    }

    fn saw(&self, object: u64, lists: &Lists) {
        (self.note)(Op::Read(2 * object, lists.left.clone()));
        (self.note)(Op::Read(2 * object + 1, lists.right.clone()));
    }

    fn range(&self, from: u64, to: u64, how: u8) -> Result<(), Stop> {
        let keys = (self.round, from)..(self.round, to);
        let mut there = Vec::new();
        let mut end = to;
        if how.is_multiple_of(2) {
            for key in self.tx.keys::<Lists>(keys) {
                there.push(key?.1);
            }
        } else {
            for entry in self.tx.range::<Lists>(keys) {
                let ((_, object), lists) = entry?;
                self.saw(object, &lists);
                there.push(object);
                // Nothing is known of the rest of a range that was not read to its end.
                if how.is_multiple_of(5) {
                    end = object;
                    break;
                }
            }
        }
        for absent in (from..end).filter(|object| !there.contains(object)) {
            (self.note)(Op::Absent(2 * absent));
            (self.note)(Op::Absent(2 * absent + 1));
        }
        Ok(())
    }

    fn nested(&self, steps: &[Step], end: End) -> Result<(), Stop> {
        (self.note)(Op::Begin);
        let body = |tx: &Tx| {
            Work { tx, ..*self }.run(steps)?;
            end.end()
        };
        match catch_unwind(AssertUnwindSafe(|| self.store.transaction(body))).unwrap_or_else(planned) {
            Ok(()) => (self.note)(Op::Keep),
            Err(Stop::Planned) => (self.note)(Op::Undo),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[transactional]
fn append(lists: &mut Lists, is_left: bool, value: u64) -> Result<(), Error> {
    if is_left { &mut lists.left } else { &mut lists.right }.push(value);
    Ok(())
}

#[transactional]
fn append_with_accessors(lists: Mut<Lists>, is_left: bool, value: u64) -> Result<(), Error> {
    if is_left { lists.left_mut() } else { lists.right_mut() }.push(value);
    Ok(())
}

#[transactional]
fn look(lists: Ref<Lists>, is_left: bool) -> Result<Vec<u64>, Error> {
    Ok(if is_left { &lists.left } else { &lists.right }.clone())
}

/// All lists of a round, as a transaction reads them after all others.
pub(super) fn read_all(store: &Store, round: u64, client: u64) -> Result<Transaction, Error> {
    let start = now();
    let ops = store.transaction(|tx| {
        let mut ops = Vec::new();
        let mut next = 0;
        for entry in tx.range::<Lists>((round, 0)..(round + 1, 0)) {
            let ((_, object), lists) = entry?;
            ops.extend((2 * next..2 * object).map(|list| Op::Read(list, Vec::new())));
            ops.push(Op::Read(2 * object, lists.left.clone()));
            ops.push(Op::Read(2 * object + 1, lists.right.clone()));
            next = object + 1;
        }
        Ok::<_, Error>(ops)
    })?;
    Ok(Transaction { outcome: Outcome::Committed, client, start, end: now(), ops })
}

pub(super) fn clear(store: &Store, round: u64) -> Result<(), Error> {
    clear_all::<Lists>(store, round)
}
