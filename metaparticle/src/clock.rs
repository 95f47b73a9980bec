//! Time, as a parameter: the system's, or one that a test moves by hand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use crate::sync::{Delay, Instant, Mutex, thread};

/// Where a store takes its time from: deadlines, back-off, and [`Tx::now`](crate::Tx::now).
pub trait Clock: Send + Sync + 'static {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// The time of day.
    fn system_time(&self) -> SystemTime;
    /// Returns after `duration`.
    fn sleep(&self, duration: Duration);
    /// Returns after `timeout`, when the thread is unparked, or earlier.
    fn park(&self, timeout: Duration) {
        thread::park_timeout(timeout);
    }
    /// As `sleep`, in a future, on any executor.
    fn delay(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Delay::new(duration))
    }
}

/// The system's clock, which every store uses unless it is told otherwise.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// A clock for tests: it stands still until it is advanced, and sleeping advances it at once. While a transaction waits for
/// another thread, it moves on as time does, so that the wait comes to an end.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, SystemTime};
/// use metaparticle::{Clock, ManualClock, Store};
///
/// let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
/// let store = Store::builder("memory:").clock(clock.clone()).open()?;
/// clock.advance(Duration::from_secs(60));
/// let now = store.transaction(|tx| metaparticle::Ok(tx.now()))?;
/// assert_eq!(now, SystemTime::UNIX_EPOCH + Duration::from_secs(60));
/// # metaparticle::Ok(())
/// ```
pub struct ManualClock {
    start: SystemTime,
    passed: Mutex<Duration>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: SystemTime) -> Self {
        Self { start, passed: Mutex::new(Duration::ZERO) }
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        *self.passed.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.passed.lock()
    }

    fn system_time(&self) -> SystemTime {
        self.start + self.now()
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }

    fn delay(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }

    fn park(&self, timeout: Duration) {
        let before = Instant::now();
        thread::park_timeout(timeout);
        self.advance(before.elapsed());
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.system_time()).finish()
    }
}
