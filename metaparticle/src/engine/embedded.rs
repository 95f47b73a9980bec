//! What turns an ordered map, or nothing but memory, into an engine for one process.
//!
//! The process owns the records, so the truth about versions is in memory: a table of what is not yet on disk, in front of the
//! map. Commits take a number under the table's lock and are queued in that order; one flusher thread writes whole groups of
//! them behind. A commit is visible once it is in the table and durable once its group is on disk; results are held back until
//! what they are based on is durable (the *output gate*, [`Reply::durable_at`]).

// Without an ordered map behind it, the engine keeps everything in memory and these have nothing to do.
#![cfg_attr(not(any(feature = "sled", feature = "fjall")), allow(dead_code))]

#[cfg(any(feature = "sled", feature = "fjall"))]
mod batches;
mod cache;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod entry;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod files;
#[cfg(feature = "fjall")]
pub(crate) mod fjall;
mod flusher;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod folder;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod folder_map;
#[cfg(all(test, any(feature = "sled", feature = "fjall")))]
mod folder_tests;
mod follower;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod guard;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod journal;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod library;
pub(crate) mod map;
mod queue;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod recovery;
#[cfg(feature = "sled")]
pub(crate) mod sled;
mod table;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::cache::{Gone, RecordCache};
use self::flusher::Flusher;
use self::follower::Pending;
#[cfg(any(feature = "sled", feature = "fjall"))]
use self::journal::Journal;
use self::map::{Group, Log, OrderedMap};
use self::queue::CommitQueue;
use self::table::{Change, Table};
use super::{
    Answer, Differs, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp, Subscription, Version, Watchers, Write,
};
use crate::Result;
use crate::planted::{Bug, planted};
use crate::sync::{Padded, RwLock};

/// An engine that keeps its records in this process: in memory, or in an ordered map on disk.
pub(crate) struct Embedded {
    shared: Arc<Shared>,
    flusher: Option<Flusher>,
}

/// What the callers and the flusher share.
struct Shared {
    table: Padded<RwLock<Table>>,
    queue: Padded<CommitQueue>,
    limits: Limits,
    watchers: Watchers,
    gone: Gone,
}

impl Embedded {
    /// Records in memory only, which end with the engine.
    pub(crate) fn in_memory() -> Self {
        Self { shared: Arc::new(Shared::new(None, 0, 0, Duration::ZERO)), flusher: None }
    }

    /// Records in `map`, behind a log, which is written at the latest `flush_interval` after a commit. `open_log` is to give what the map
    /// does not have.
    pub(crate) fn over<L: Log>(
        map: Arc<dyn OrderedMap>,
        open_log: impl FnOnce(&mut dyn FnMut(Group) -> Result<()>) -> Result<L>,
        cache_bytes: u64,
        flush_interval: Duration,
    ) -> Result<Self> {
        let mut pending = Pending::default();
        let mut log = open_log(&mut |group| {
            pending.add(group, 0);
            Ok(())
        })?;
        let last = pending.last_commit().max(map.last_commit());
        pending.apply(&*map, map.last_commit(), |_| ())?;
        log.release(last)?;
        let shared = Arc::new(Shared::new(Some(map.clone()), last, cache_bytes, flush_interval));
        let flusher = Some(flusher::start(shared.clone(), log, map, last)?);
        Ok(Self { shared, flusher })
    }
}

/// Records in a folder: in a map that is opened with a size for its cache, behind a journal.
#[cfg(any(feature = "sled", feature = "fjall"))]
pub(crate) fn in_folder<L: library::Library>(
    open_map: impl FnOnce(u64) -> Result<folder_map::FolderMap<L>>,
    cache_bytes: u64,
    flush_interval: Duration,
) -> Result<Embedded> {
    // One half keeps the map's own pages at hand, the other records as they are asked for.
    let map = open_map(cache_bytes / 2)?;
    let (folder, id, last) = (map.journal(), map.store_id(), map.last_commit());
    let open_log = |replay: &mut dyn FnMut(Group) -> Result<()>| Journal::open(&folder, id, last, replay);
    Embedded::over(Arc::new(map), open_log, cache_bytes / 2, flush_interval)
}

impl Drop for Embedded {
    /// Waits until everything committed is on disk.
    fn drop(&mut self) {
        self.shared.queue.stop();
        if let Some(flusher) = self.flusher.take() {
            flusher.join();
        }
    }
}

impl Shared {
    fn new(map: Option<Arc<dyn OrderedMap>>, last: u64, cache_bytes: u64, flush_interval: Duration) -> Self {
        let limits = map.as_ref().map_or(Limits::NONE, |map| map.limits());
        let cache = RecordCache::new(cache_bytes);
        let gone = cache.gone().clone();
        Self {
            gone,
            table: Padded(RwLock::new(Table::new(map, cache, last))),
            queue: Padded(CommitQueue::new(last, flush_interval)),
            limits,
            watchers: Watchers::new(),
        }
    }

    fn read(&self, request: Request<'_>) -> Result<Reply> {
        self.queue.check()?;
        let table = self.table.read();
        let differs = if planted(Bug::SkipReadComparison) { Differs::default() } else { table.differs(request.compare)? };
        table.reply(&request, differs)
    }

    /// `None`: there is no room.
    fn commit<'a>(&self, request: Request<'a>) -> Result<Option<Reply>> {
        // Whether a write adds or removes a key matters to scans. It is told from what is compared, which is in the order of
        // what is written; where it is not, the key may be new as well.
        let mut seen = request.compare.records.iter();
        let change = |write: &'a Write| {
            let Write { key, bytes } = write;
            let existed = seen.find(|(seen, _)| seen == key).map(|(_, version)| version.is_some());
            Change { key, bytes, structural: existed != Some(bytes.is_some()) }
        };
        let changes: SmallVec<[Change<'_>; 4]> = request.write.iter().map(change).collect();
        let reply = {
            let mut table = self.table.write();
            // Checked under the lock: a commit after a failed one must not be let in.
            self.queue.check()?;
            if !self.queue.has_room() {
                return Ok(None);
            }
            let mut differs = table.differs(request.compare)?;
            leave_out_as_planted(&mut differs, request.write);
            let reply = table.reply(&request, differs)?;
            if !reply.differs.is_empty() {
                if planted(Bug::KeepConflicting) {
                    table.keep_rolled_back(&changes);
                }
                return Ok(Some(reply));
            }
            let published = table.publish(&changes);
            let number = published.number;
            let mut durable_at = Stamp(0);
            if table.has_map() {
                self.queue.add(&published);
                durable_at = Stamp(number);
            }
            Reply { version: Some(Version::new(number.into())), stamp: Stamp(number), durable_at, ..reply }
        };
        self.watchers.changed(request.write.iter().map(|write| &write.key));
        Ok(Some(reply))
    }
}

/// What a commit does not compare when a bug is planted.
fn leave_out_as_planted(differs: &mut Differs, write: &[Write]) {
    if planted(Bug::SkipValidation) || planted(Bug::ValidateOnlyWrites) || planted(Bug::SkipRangeValidation) {
        differs.ranges.clear();
    }
    if planted(Bug::SkipValidation) {
        differs.records.clear();
    }
    if planted(Bug::ValidateOnlyWrites) {
        differs.records.retain(|(key, _)| write.iter().any(|write| write.key == *key));
    }
}

impl Engine for Embedded {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        let shared = &*self.shared;
        if request.write.is_empty() {
            return Answer::Ready(shared.read(request));
        }
        if let Some(reply) = shared.commit(request).transpose() {
            return Answer::Ready(reply);
        }
        Answer::Later(Box::pin(async move {
            loop {
                // Waited for without the table's lock: the flusher needs that lock to make room.
                poll_fn(|context| shared.queue.poll_room(context)).await;
                if let Some(reply) = shared.commit(request)? {
                    return Ok(reply);
                }
            }
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
            if planted(Bug::WatchTooLate) && !shared.table.read().differs(compare)?.is_empty() {
                return Ok(());
            }
            // First subscribed, then compared: a change in between is told.
            let subscription = shared.watchers.subscribe(compare.watched());
            loop {
                if planted(Bug::WatchTooLate) {
                    subscription.next().await;
                }
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

    fn durable_soon(&self, stamp: Stamp) -> bool {
        self.flusher.is_none() || self.shared.queue.is_durable_soon(stamp.0)
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }

    fn let_go(&self) {
        self.shared.gone.let_go();
    }
}
