//! Records that the map has too, kept at hand up to a number of bytes.

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::engine::{Record, RecordKey};
use crate::planted::{Bug, planted};

/// What a record costs beside its bytes: its place in the cache, its counters, its key.
const OVERHEAD: usize = 200;
/// A decoded object takes more memory than its bytes, which are kept too.
const DECODED: usize = 3;
/// For the cache's own tables: what a small record is estimated at.
const SMALL_RECORD: u64 = 512;

/// Records by their keys.
pub(super) struct RecordCache(Option<Cache<RecordKey, Record, Weigh, RandomState>>);

impl RecordCache {
    /// One that keeps about so many bytes; none at all, if there are none.
    pub(super) fn new(bytes: u64) -> Self {
        let cache = |bytes| {
            let estimated = (bytes / SMALL_RECORD) as usize;
            Cache::with(estimated, bytes, Weigh, RandomState::default(), DefaultLifecycle::default())
        };
        Self((bytes > 0).then(|| cache(bytes)))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Record> {
        self.0.as_ref()?.get(key)
    }

    /// Keeps what the map has, in place of what it had.
    pub(super) fn put(&self, key: &RecordKey, record: Option<&Record>) {
        let Some(cache) = &self.0 else { return };
        match record {
            Some(record) => cache.insert(key.clone(), record.clone()),
            None => drop(cache.remove(key)),
        }
    }
}

#[derive(Clone)]
struct Weigh;

impl quick_cache::Weighter<RecordKey, Record> for Weigh {
    fn weight(&self, key: &RecordKey, record: &Record) -> u64 {
        if planted(Bug::UnboundedCache) {
            return 0;
        }
        (OVERHEAD + key.len() + DECODED * record.bytes.len()) as u64
    }
}
