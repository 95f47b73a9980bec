//! What is the same for all attempts of a transaction.

use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::durability::Durability;
use crate::error::{Error, ErrorKind};

/// Which part of its timeout a transaction waits for its turn at most. Without a bound, one slow body would hold up everybody
/// who only touches the same object.
const COURTESY: u32 = 10;

/// What is the same for all attempts of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) name: &'static str,
    /// When it began, as the store's clock shows it.
    pub(super) began: Duration,
    /// The same as a time of day, if that was asked for.
    pub(super) now: Option<SystemTime>,
    pub(crate) seed: u64,
    /// As the store's clock shows it.
    pub(crate) deadline: Duration,
    /// From its beginning to its deadline.
    pub(crate) timeout: Duration,
    pub(crate) durability: Durability,
    pub(crate) read_only: bool,
}

impl Fixed {
    /// The time of day at which it began. Most never ask, so it is found out when one does.
    pub(super) fn now(&self, clock: &dyn Clock) -> SystemTime {
        self.now.unwrap_or_else(|| {
            let time = clock.system_time();
            time.checked_sub(clock.now().saturating_sub(self.began)).unwrap_or(time)
        })
    }

    /// How much time is left.
    pub(super) fn left(&self, clock: &dyn Clock) -> Duration {
        self.deadline.saturating_sub(clock.now())
    }

    /// How long to wait for a turn before going on without it.
    pub(super) fn courtesy(&self) -> Duration {
        self.timeout / COURTESY
    }

    /// The same, and not longer than there is time.
    pub(super) fn patience(&self, clock: &dyn Clock) -> Duration {
        self.courtesy().min(self.left(clock))
    }

    /// The error of a transaction whose deadline has passed before its commit.
    pub(super) fn too_late(&self) -> Error {
        Error::new(ErrorKind::Timeout, format!("`{}` took longer than its timeout; nothing was written", self.name))
    }
}
