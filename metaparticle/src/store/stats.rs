//! Counters of what a store has done.

use crate::sync::unscheduled::AtomicU64;
use crate::sync::{Ordering, Padded, thread_local};

/// What has happened since a store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Runs of bodies of outermost transactions.
    pub attempts: u64,
    /// Transactions that wrote something.
    pub commits: u64,
    /// Attempts that had to be run again.
    pub reruns: u64,
    /// Commits that were put on top of somebody else's without running again.
    pub rebases: u64,
}

/// Threads count apart, as far as there are places, so that they do not wait for each other's caches.
const PLACES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Counters([Padded<Place>; PLACES]);

#[derive(Debug, Default)]
struct Place {
    attempts: AtomicU64,
    commits: AtomicU64,
    reruns: AtomicU64,
    rebases: AtomicU64,
}

impl Counters {
    fn place(&self) -> &Place {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static THREAD: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        &self.0[THREAD.with(|thread| *thread as usize % PLACES)]
    }

    pub(crate) fn attempted(&self) {
        self.place().attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self) {
        self.place().commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn conflicted(&self) {
        self.place().reruns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rebased(&self) {
        self.place().rebases.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Stats {
        let sum = |counter: fn(&Place) -> &AtomicU64| self.0.iter().map(|place| counter(place).load(Ordering::Relaxed)).sum();
        Stats {
            attempts: sum(|place| &place.attempts),
            commits: sum(|place| &place.commits),
            reruns: sum(|place| &place.reruns),
            rebases: sum(|place| &place.rebases),
        }
    }
}
