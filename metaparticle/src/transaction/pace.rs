//! How a process shares a hot object with other processes: it commits group after group for a while, then lets others go first.
//!
//! Whoever loses a round has run its transactions for nothing, so rounds in which all processes take part are the slowest way to
//! share. Instead, whoever wins goes on for a *slice* of some rounds, and then pauses as long; whoever loses waits a random part of
//! a slice before it tries again. A process that meets nobody at the end of its slice takes longer and longer ones.

use std::time::Duration;

use crate::clock::Clock;

/// The rounds of a slice: groups that are sent one after the other.
const ROUNDS: u32 = 6;

/// What a round counts as at most, so that one whose answer was lost on the way does not stop everybody.
const MAX_ROUND: Duration = Duration::from_millis(50);

/// How many slices a process takes at once that meets nobody.
const MAX_SLICES: u32 = 32;

/// Where a process is in its slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When it began.
    began: Duration,
    /// When the last round ended.
    ended: Duration,
    /// How long the last round took.
    round: Duration,
    /// How many slices this one is as long as.
    slices: u32,
    /// Whether others have won against this process.
    is_contended: bool,
}

impl Pace {
    pub(super) fn new(now: Duration, is_contended: bool) -> Self {
        Self { began: now, ended: now, round: Duration::ZERO, slices: 1, is_contended }
    }

    /// The pace of the next round, when its time has come. `None`: there was nothing to do for so long that it begins anew.
    pub(super) async fn next(self, clock: &dyn Clock) -> Option<Self> {
        if !self.is_on(clock.now()) {
            return None;
        }
        let pause = self.pause(clock.now());
        if pause.is_zero() {
            return Some(self);
        }
        clock.delay(pause).await;
        // It has met nobody, if it wins the next round.
        let slices = (self.slices * 2).min(MAX_SLICES);
        Some(Self { began: clock.now(), slices, is_contended: false, ..self })
    }

    /// Whether the last round was just now.
    pub(super) fn is_on(&self, now: Duration) -> bool {
        now.saturating_sub(self.ended) < slice(self.round)
    }

    fn pause(&self, now: Duration) -> Duration {
        if now.saturating_sub(self.began) < slice(self.round) * self.slices {
            return Duration::ZERO;
        }
        // To see whether somebody is there, it takes a round only.
        if self.is_contended { slice(self.round) } else { self.round }
    }

    /// The pace after a round that was won.
    pub(super) fn won(self, round: Duration, now: Duration) -> Self {
        Self { round, ended: now, ..self }
    }
}

/// How long to wait after a round that was lost, at most.
pub(super) fn wait_of_loser(round: Duration) -> Duration {
    slice(round)
}

fn slice(round: Duration) -> Duration {
    round.min(MAX_ROUND) * ROUNDS
}
