//! Counters of what a store has done.

use crate::sync::{AtomicU64, Ordering};

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

#[derive(Debug, Default)]
pub(crate) struct Counters {
    attempts: AtomicU64,
    commits: AtomicU64,
    reruns: AtomicU64,
    rebases: AtomicU64,
}

impl Counters {
    pub(crate) fn attempted(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn conflicted(&self) {
        self.reruns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rebased(&self) {
        self.rebases.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            attempts: get(&self.attempts),
            commits: get(&self.commits),
            reruns: get(&self.reruns),
            rebases: get(&self.rebases),
        }
    }
}
