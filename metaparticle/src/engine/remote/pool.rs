//! Connections that are used for one thing at a time each, at most so many at once.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Failure, again};
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

    /// A connection that nobody else uses until it is given back; one that is dropped is not used again. The permit lasts as long.
    pub(crate) async fn take<F>(
        &self,
        is_usable: impl Fn(&C) -> bool,
        connect: impl FnOnce() -> F,
    ) -> Result<(C, OwnedSemaphorePermit), Failure>
    where
        F: Future<Output = Result<C, Failure>>,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|error| again("the store is closed", error))?;
        let idle = std::iter::from_fn(|| self.idle.lock().pop()).find(is_usable);
        let connection = match idle {
            Some(connection) => connection,
            None => connect().await?,
        };
        Ok((connection, permit))
    }

    pub(crate) fn give_back(&self, connection: C) {
        self.idle.lock().push(connection);
    }
}
