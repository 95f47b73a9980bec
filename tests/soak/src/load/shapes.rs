//! The shapes that a load has, and what has to add up in the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaparticle::{Error, Store, Tx, persistent};

use super::workers::Hall;
use crate::campaign::{Failure, Result};
use crate::figures::Figures;

/// Which objects are worked on, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// Everybody changes one object.
    Hot,
    /// Everybody reads and changes any of many.
    Many,
    /// Some take some milliseconds for what others do at once.
    Slow,
    /// Some read a thousand objects, which others change.
    Huge,
}

impl Shape {
    pub(super) const ALL: [Self; 4] = [Self::Hot, Self::Many, Self::Slow, Self::Huge];

    /// Adds what those who worked on it have come to.
    pub(super) fn tell(self, hall: &Hall, figures: &mut Figures) {
        let [commits, attempts, most_attempts, longest] = match self {
            Self::Hot => ["hot_commits", "hot_attempts", "hot_most_attempts", "hot_longest_ms"],
            Self::Many => ["many_commits", "many_attempts", "many_most_attempts", "many_longest_ms"],
            Self::Slow => ["slow_commits", "slow_attempts", "slow_most_attempts", "slow_longest_ms"],
            Self::Huge => ["huge_commits", "huge_attempts", "huge_most_attempts", "huge_longest_ms"],
        };
        figures.add(commits, hall.sum(self, |worker| &worker.commits));
        figures.add(attempts, hall.sum(self, |worker| &worker.attempts));
        figures.add(most_attempts, hall.most(self, |worker| &worker.most_attempts));
        figures.add(longest, hall.most(self, |worker| &worker.longest));
    }
}

/// A number, by text.
#[persistent(default)]
struct Counter {
    n: u64,
    /// Counted by those who may have gone before they knew.
    gone: u64,
}

/// One of many, and larger than what is counted in it.
#[persistent(default, key = u64)]
struct Item {
    n: u64,
    text: String,
}

/// A number that is always changed together with another one, so that the sum of all stays the same.
#[persistent(default, key = u64)]
struct Part {
    n: i64,
}

/// The bytes of the text in each.
const ITEM: usize = 2000;
/// What a huge read set has.
const PARTS: u64 = 1000;
const SLOW_KEYS: u64 = 4;

/// What one transaction does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    Count { may_go: bool },
    Look(u64),
    Touch(u64),
    CountSlowly(u64, Duration),
    Move(u64, u64),
    Sum,
}

/// Why a transaction has come to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It has seen what never was.
    Torn(i64),
    Store(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Job {
    /// The next one of worker `number`, where there are so many items.
    pub(super) fn random(shape: Shape, number: usize, items: u64, may_go: bool, random: &mut fastrand::Rng) -> Self {
        match shape {
            Shape::Hot => Self::Count { may_go },
            Shape::Many if random.bool() => Self::Look(random.u64(..items)),
            Shape::Many => Self::Touch(random.u64(..items)),
            Shape::Slow => {
                let millis = if random.u8(..4) == 0 { random.u64(2..20) } else { 0 };
                Self::CountSlowly(random.u64(..SLOW_KEYS), Duration::from_millis(millis))
            }
            Shape::Huge if number.is_multiple_of(4) => Self::Sum,
            Shape::Huge => Self::Move(random.u64(..PARTS), random.u64(..PARTS)),
        }
    }

    /// The body; returns how many attempts it took.
    pub(super) fn carry_out(self, tx: &Tx) -> Result<u32, Trouble> {
        match self {
            Self::Count { may_go: false } => tx.get_mut::<Counter>("hot")?.n += 1,
            Self::Count { may_go: true } => tx.get_mut::<Counter>("hot")?.gone += 1,
            Self::Look(key) => drop(tx.get::<Item>(key)?),
            Self::Touch(key) => tx.get_mut::<Item>(key)?.n += 1,
            Self::CountSlowly(key, time) => {
                let mut counter = tx.get_mut::<Counter>(slow(key))?;
                if !time.is_zero() {
                    std::thread::sleep(time);
                }
                counter.n += 1;
            }
            Self::Move(from, to) if from == to => {}
            Self::Move(from, to) => {
                tx.get_mut::<Part>(from)?.n -= 1;
                tx.get_mut::<Part>(to)?.n += 1;
            }
            Self::Sum => {
                let sum = sum_of_parts(tx)?;
                if sum != 0 {
                    return Err(Trouble::Torn(sum));
                }
                tx.get_mut::<Counter>("sums")?.n += 1;
            }
        }
        Ok(tx.attempt())
    }

    /// Where it is counted.
    fn place(self) -> Option<usize> {
        match self {
            Self::Count { may_go: false } => Some(0),
            Self::Count { may_go: true } => Some(1),
            Self::Touch(_) => Some(2),
            Self::CountSlowly(..) => Some(3),
            Self::Sum => Some(4),
            Self::Look(_) | Self::Move(..) => None,
        }
    }
}

fn slow(key: u64) -> String {
    format!("slow {key}")
}

fn sum_of_parts(tx: &Tx) -> metaparticle::Result<i64> {
    tx.range::<Part>(..).try_fold(0, |sum, part| Ok(sum + part?.1.n))
}

/// How many of each kind were counted, and how many more may have been.
#[derive(Debug, Default)]
pub(super) struct Tally([(AtomicU64, AtomicU64); 5]);

impl Tally {
    pub(super) fn done(&self, job: Job) {
        if let Some(place) = job.place() {
            self.0[place].0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn unknown(&self, job: Job) {
        if let Some(place) = job.place() {
            self.0[place].1.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Compares it with what is there.
    pub(super) fn compare(&self, store: &Store, items: u64) -> Result<()> {
        let (hot, slow, sums, parts) = store.transaction(|tx| {
            let count = |key: &str| metaparticle::Ok(tx.get::<Counter>(key)?.n);
            let hot = tx.get::<Counter>("hot")?;
            let slow = (0..SLOW_KEYS).try_fold(0, |sum, key| metaparticle::Ok(sum + count(&slow(key))?))?;
            metaparticle::Ok(([hot.n, hot.gone], slow, count("sums")?, sum_of_parts(tx)?))
        })?;
        let mut touched = 0;
        for first in (0..items).step_by(STEP as usize) {
            touched += store.transaction(|tx| {
                tx.range::<Item>(first..first + STEP).try_fold(0, |sum, item| metaparticle::Ok(sum + item?.1.n))
            })?;
        }
        if parts != 0 {
            return Err(Failure::new("wrong_sum", format!("the sum of all parts is {parts}, and should be 0")));
        }
        for (found, (done, unknown)) in [hot[0], hot[1], touched, slow, sums].into_iter().zip(&self.0) {
            let (done, unknown) = (done.load(Ordering::Relaxed), unknown.load(Ordering::Relaxed));
            if !(done..=done + unknown).contains(&found) {
                let what = format!("{found} were counted, {done} were acknowledged, and {unknown} are not known: {self:?}");
                return Err(Failure::new("wrong_sum", what));
            }
        }
        Ok(())
    }
}

/// So many items at once.
const STEP: u64 = 500;

/// Makes all objects.
pub(super) fn prepare(store: &Store, shapes: &[Shape], items: u64) -> Result<()> {
    if shapes.contains(&Shape::Many) {
        for first in (0..items).step_by(STEP as usize) {
            store.transaction(|tx| {
                (first..first + STEP).try_for_each(|key| tx.insert(key, Item { n: 0, text: "x".repeat(ITEM) }))
            })?;
        }
    }
    Ok(store.transaction(|tx| (0..PARTS).try_for_each(|key| tx.insert(key, Part { n: 0 })))?)
}
