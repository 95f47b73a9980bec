//! Connections that are used for one thing at a time each, at most so many at once.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Failure, Turn};
use crate::sync::Mutex;

/// Connections that nobody uses, and how many more there may be.
pub(crate) struct Pool<C> {
    idle: Mutex<Vec<C>>,
    /// As many as there may be connections.
    permits: Arc<Semaphore>,
}

impl<C> Pool<C> {
    /// Of so many connections at most; the first is there already.
    pub(crate) fn new(connections: usize, first: C) -> Self {
        Self { idle: Mutex::new(vec![first]), permits: Arc::new(Semaphore::new(connections)) }
    }

    /// Waits until one more connection may be in use. It is used as long as what this gives is kept.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        // It is never closed.
        self.permits.clone().acquire_owned().await.ok()
    }

    /// A connection that nobody else uses until it is given back. For whoever has its turn.
    pub(crate) async fn take<F>(
        &self,
        is_usable: impl Fn(&C) -> bool,
        connect: impl FnOnce() -> F,
    ) -> Result<(C, Lease<'_, C>), Failure>
    where
        F: Future<Output = Result<C, Failure>>,
    {
        let idle = std::iter::from_fn(|| self.idle.lock().pop()).find(is_usable);
        let connection = match idle {
            Some(connection) => connection,
            None => connect().await?,
        };
        Ok((connection, Lease(Some(self))))
    }
}

/// What a connection is given back by.
pub(crate) struct Lease<'a, C>(Option<&'a Pool<C>>);

impl<C> Lease<'_, C> {
    pub(crate) fn give_back(mut self, connection: C) {
        if let Some(pool) = self.0.take() {
            pool.idle.lock().push(connection);
        }
    }
}

impl<C> Drop for Lease<'_, C> {
    /// One that is not given back has broken or is silent, and so are most likely the others that were there before: each would take
    /// a try to find that out.
    fn drop(&mut self) {
        if let Some(pool) = self.0 {
            let idle = std::mem::take(&mut *pool.idle.lock());
            drop(idle);
        }
    }
}
