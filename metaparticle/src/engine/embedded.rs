//! What turns an ordered map, or nothing but memory, into an engine for one process.
//!
//! The process owns the records, so the truth about versions is in memory: a table of what is not yet on disk, in front of the
//! map. Commits take a number under the table's lock and are queued in that order; one flusher thread writes whole groups of
//! them behind. A commit is visible once it is in the table and durable once its group is on disk; results are held back until
//! what they are based on is durable (the *output gate*, [`Reply::durable_at`]).

// Without an ordered map behind it, the engine keeps everything in memory and these have nothing to do.
#![cfg_attr(not(feature = "sled"), allow(dead_code))]

mod flusher;
pub(crate) mod map;
mod queue;
#[cfg(feature = "sled")]
pub(crate) mod sled;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use self::map::OrderedMap;
use self::queue::CommitQueue;
use self::table::{Change, Table};
use super::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp, Subscription, Version, Watchers};
use crate::Result;
use crate::sync::{RwLock, thread};

/// An engine that keeps its records in this process: in memory, or in an ordered map on disk.
pub(crate) struct Embedded {
    shared: Arc<Shared>,
    flusher: Option<thread::JoinHandle<()>>,
}

/// What the callers and the flusher share.
struct Shared {
    table: RwLock<Table>,
    queue: CommitQueue,
    limits: Limits,
    watchers: Watchers,
}

impl Embedded {
    /// Records in memory only, which end with the engine.
    pub(crate) fn in_memory() -> Self {
        Self { shared: Arc::new(Shared::new(None, Duration::ZERO)), flusher: None }
    }

    /// Records in `map`, written at the latest `flush_interval` after their commit.
    pub(crate) fn over(map: Arc<dyn OrderedMap>, flush_interval: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::new(Some(map.clone()), flush_interval));
        let flusher = Some(flusher::start(shared.clone(), map)?);
        Ok(Self { shared, flusher })
    }
}

impl Drop for Embedded {
    /// Waits until everything committed is on disk.
    fn drop(&mut self) {
        self.shared.queue.stop();
        if let Some(flusher) = self.flusher.take() {
            // The flusher does not panic; if it did, the queue has failed and every waiter was told.
            let _ = flusher.join();
        }
    }
}

impl Shared {
    fn new(map: Option<Arc<dyn OrderedMap>>, flush_interval: Duration) -> Self {
        let last = map.as_ref().map_or(0, |map| map.last_commit());
        let limits = map.as_ref().map_or(Limits::NONE, |map| map.limits());
        Self {
            table: RwLock::new(Table::new(map, last)),
            queue: CommitQueue::new(last, flush_interval),
            limits,
            watchers: Watchers::new(),
        }
    }

    fn read(&self, request: Request<'_>) -> Result<Reply> {
        self.queue.check()?;
        let table = self.table.read();
        let differs = table.differs(request.compare)?;
        table.reply(&request, differs)
    }

    fn commit(&self, request: Request<'_>) -> Result<Reply> {
        // Whether a write adds or removes a key matters to scans; told from what is compared, outside the lock.
        let seen: HashMap<&[u8], bool> =
            request.compare.records.iter().map(|(key, version)| (&**key, version.is_some())).collect();
        let change = |write: &super::Write| Change {
            key: write.key.clone(),
            bytes: write.bytes.clone(),
            structural: seen.get(&*write.key) != Some(&write.bytes.is_some()),
        };
        let changes: Vec<Change> = request.write.iter().map(change).collect();
        let reply = {
            let mut table = self.table.write();
            // Checked under the lock: a commit after a failed one must not be let in.
            self.queue.check()?;
            let differs = table.differs(request.compare)?;
            let reply = table.reply(&request, differs)?;
            if !reply.differs.is_empty() {
                return Ok(reply);
            }
            let number = table.publish(&changes);
            let mut durable_at = Stamp(0);
            if table.has_map() {
                self.queue.push(number, changes);
                durable_at = Stamp(number);
            }
            Reply { version: Some(Version::new(number.into())), stamp: Stamp(number), durable_at, ..reply }
        };
        self.watchers.changed(request.write.iter().map(|write| &write.key));
        Ok(reply)
    }
}

impl Engine for Embedded {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        let shared = &*self.shared;
        if request.write.is_empty() {
            return Answer::Ready(shared.read(request));
        }
        // Waited for before the table's lock is taken: the flusher needs that lock to make room.
        if shared.queue.has_room() {
            return Answer::Ready(shared.commit(request));
        }
        Answer::Later(Box::pin(async move {
            poll_fn(|context| shared.queue.poll_room(context)).await;
            shared.commit(request)
        }))
    }

    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        let scan = || {
            self.shared.queue.check()?;
            let table = self.shared.table.read();
            let differs = table.differs(compare)?;
            table.page(range, limit, differs)
        };
        Answer::Ready(scan())
    }

    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        let shared = &*self.shared;
        Answer::Later(Box::pin(async move {
            // First subscribed, then compared: a change in between is told.
            let subscription = shared.watchers.subscribe(compare.watched());
            loop {
                let differs = shared.queue.check().and_then(|()| shared.table.read().differs(compare))?;
                if !differs.is_empty() {
                    return Ok(());
                }
                subscription.next().await;
            }
        }))
    }

    fn subscribe(&self, ranges: &[KeyRange]) -> Subscription {
        self.shared.watchers.subscribe(ranges.to_vec())
    }

    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        let shared = &*self.shared;
        // Memory alone gives no more than it has given already.
        if self.flusher.is_none() || shared.queue.is_durable(stamp.0) {
            return Answer::Ready(Ok(()));
        }
        Answer::Later(Box::pin(poll_fn(move |context| shared.queue.poll_durable(stamp.0, context))))
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }
}
