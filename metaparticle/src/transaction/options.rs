//! How a transaction is run: its limits, and what happens between two attempts.

use std::time::Duration;

use crate::durability::Durability;

/// How often, how fast and how long a store tries again after a conflict.
///
/// Before each attempt but the first, a transaction queues for the objects that it had a conflict on; from the third on, it also waits
/// a random time between zero and a bound that doubles with each attempt ("full jitter", after Marc Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many attempts a transaction has at most; no bound but the timeout unless set.
    pub attempts: Option<u32>,
    /// How long a transaction may take, waiting included. 10 seconds unless set.
    pub timeout: Duration,
    /// The bound of the wait before the third attempt. (The second only queues.) 20 microseconds unless set.
    pub backoff: Duration,
    /// The largest bound of a wait. 100 milliseconds unless set.
    pub max_backoff: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: None,
            timeout: Duration::from_secs(10),
            backoff: Duration::from_micros(20),
            max_backoff: Duration::from_millis(100),
        }
    }
}

impl RetryPolicy {
    /// How long to wait before attempt `number` at most.
    pub(crate) fn backoff_bound(&self, number: u32) -> Duration {
        match number {
            0..=2 => Duration::ZERO,
            _ => self.backoff.saturating_mul(2u32.saturating_pow(number - 3)).min(self.max_backoff),
        }
    }
}

/// What one transaction does otherwise than its store: the options of `#[transactional(…)]`, for
/// [`Store::transaction_with`](crate::Store::transaction_with).
///
/// ```
/// # use metaparticle::{Result, Store, TransactionOptions};
/// # let store = Store::open("memory:")?;
/// let options = TransactionOptions::new().attempts(3).read_only();
/// store.transaction_with(options, |_tx| metaparticle::Ok(()))?;
/// # metaparticle::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TransactionOptions {
    pub(crate) name: Option<&'static str>,
    pub(crate) attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) durability: Option<Durability>,
    pub(crate) read_only: bool,
}

impl TransactionOptions {
    /// No differences.
    pub const fn new() -> Self {
        Self { name: None, attempts: None, timeout: None, durability: None, read_only: false }
    }

    /// The name that error messages use.
    pub const fn name(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// At most so many attempts, at least one.
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts: Some(attempts), ..self }
    }

    /// At most so long.
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// When it returns.
    pub const fn durability(self, durability: Durability) -> Self {
        Self { durability: Some(durability), ..self }
    }

    /// A change is an error.
    pub const fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    #[doc(hidden)]
    pub const fn timeout_millis(self, millis: u64) -> Self {
        self.timeout(Duration::from_millis(millis))
    }

    #[doc(hidden)]
    pub const fn eventual(self) -> Self {
        self.durability(Durability::Eventual)
    }

    #[doc(hidden)]
    pub const fn immediate(self) -> Self {
        self.durability(Durability::Immediate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_wait_doubles_up_to_its_maximum() {
        let policy = RetryPolicy::default();
        let bounds: Vec<u128> = (1..7).map(|number| policy.backoff_bound(number).as_micros()).collect();
        assert_eq!(bounds, [0, 0, 20, 40, 80, 160]);
        assert_eq!(policy.backoff_bound(u32::MAX), policy.max_backoff);
    }
}
