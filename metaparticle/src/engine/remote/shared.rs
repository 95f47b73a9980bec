//! One connection that many requests use at once, and what makes sure that none uses it after it has broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

/// What goes back and forth on a connection, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection for many.
#[derive(Clone)]
pub(crate) struct Shared<C> {
    connection: C,
    broken: Arc<AtomicBool>,
}

/// A shared connection in use for one request. Unless that is said to be done, the connection counts as broken.
pub(crate) struct InUse<C> {
    shared: Shared<C>,
    done: AtomicBool,
}

impl<C> Shared<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self { connection, broken: Arc::default() }
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// For one request.
    pub(crate) fn used(self) -> InUse<C> {
        InUse { shared: self, done: AtomicBool::new(false) }
    }
}

impl<C> InUse<C> {
    pub(crate) fn connection(&self) -> &C {
        &self.shared.connection
    }

    /// The connection is of no more use, to anybody.
    pub(crate) fn breaks(&self) {
        self.shared.broken.store(true, Ordering::Relaxed);
    }

    /// The request has been answered, or has failed by itself.
    pub(crate) fn done(&self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

impl<C> Drop for InUse<C> {
    fn drop(&mut self) {
        if !self.done.load(Ordering::Relaxed) {
            self.breaks();
        }
    }
}
