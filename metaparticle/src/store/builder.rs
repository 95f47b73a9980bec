//! Settings of a store, and its opening.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::clock::{Clock, SystemClock};
use crate::durability::Durability;
use crate::engine::{Engine, url};
use crate::error::Result;
use crate::transaction::RetryPolicy;

/// What a store's transactions do unless they say otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) durability: Durability,
    pub(crate) retry: RetryPolicy,
    pub(crate) flush_interval: Duration,
    pub(crate) cache_bytes: u64,
}

/// Settings to open a store with; see [`Store::builder`].
///
/// ```
/// use std::time::Duration;
/// use metaparticle::{Durability, RetryPolicy, Store};
///
/// let store = Store::builder("memory:")
///     .durability(Durability::Eventual)
///     .flush_interval(Duration::from_millis(20))
///     .retry(RetryPolicy { timeout: Duration::from_secs(2), ..RetryPolicy::default() })
///     .open()?;
/// # metaparticle::Ok(())
/// ```
#[must_use = "a builder opens nothing until `open` is called"]
pub struct StoreBuilder {
    url: String,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl StoreBuilder {
    pub(super) fn new(url: &str) -> Self {
        let settings = Settings {
            durability: Durability::Immediate,
            retry: RetryPolicy::default(),
            flush_interval: Duration::from_millis(100),
            cache_bytes: 64 << 20,
        };
        Self { url: url.to_owned(), settings, clock: Arc::new(SystemClock::default()) }
    }

    /// When a transactional function returns: by default, once its changes survive a power cut.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// How long after its return a transaction with [`Durability::Eventual`] may still be lost by a crash; 100 milliseconds
    /// unless set. The time that the disk takes comes on top.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings.flush_interval = interval;
        self
    }

    /// What happens after a conflict.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// How long a transaction may take, waiting included; 10 seconds unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.retry.timeout = timeout;
        self
    }

    /// How much memory an engine on disk may use to keep records at hand, in bytes; 64 MiB unless set. A record with the object that it was
    /// decoded to counts three times its bytes; objects of types that take far more than that take more memory. sled takes 1 MiB in any
    /// case.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.settings.cache_bytes = bytes;
        self
    }

    /// Where time is taken from, for tests that move it by hand.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(self) -> Result<Store> {
        let engine = self.engine()?;
        Ok(self.build(engine))
    }

    pub(crate) fn engine(&self) -> Result<Box<dyn Engine>> {
        url::open(&self.url, &self.settings)
    }

    /// A store with these settings on an engine of another crate's making.
    pub fn open_engine(self, engine: impl Engine) -> Store {
        self.build(Box::new(engine))
    }

    pub(super) fn build(self, engine: Box<dyn Engine>) -> Store {
        Store::new(engine, url::shown(&self.url), self.settings, self.clock)
    }
}

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("url", &url::shown(&self.url))
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
