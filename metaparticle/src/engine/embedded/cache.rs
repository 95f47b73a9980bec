//! Records that the map has too, kept at hand up to a number of bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use quick_cache::Lifecycle;
use quick_cache::sync::Cache;
use smallvec::SmallVec;

use crate::engine::{Record, RecordKey};
use crate::planted::{Bug, planted};
use crate::sync::unscheduled::Mutex;

/// What a record costs beside its bytes: its place in the cache, its counters, its key; and what a small object takes in any case.
const OVERHEAD: usize = 300;
/// An object that is kept takes more memory than its bytes, which are kept too: up to twice as much.
const DECODED: usize = 3;
/// For the cache's own tables: what a small record is estimated at.
const SMALL_RECORD: u64 = 512;

/// Records by their keys.
pub(super) struct RecordCache {
    cache: Option<Cache<RecordKey, Record, Weigh, RandomState, Collect>>,
    gone: Gone,
}

impl RecordCache {
    /// One that keeps about so many bytes; none at all, if there are none.
    pub(super) fn new(bytes: u64) -> Self {
        let cache = |bytes| {
            let estimated = (bytes / SMALL_RECORD) as usize;
            Cache::with(estimated, bytes, Weigh, RandomState::default(), Collect)
        };
        Self { cache: (bytes > 0).then(|| cache(bytes)), gone: Gone::default() }
    }

    /// What it keeps no longer.
    pub(super) fn gone(&self) -> &Gone {
        &self.gone
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Record> {
        self.cache.as_ref()?.get(key)
    }

    /// Keeps what the map has, in place of what it had.
    pub(super) fn put(&self, key: &RecordKey, record: Option<&Record>) {
        let Some(cache) = &self.cache else { return self.gone.add(record.cloned()) };
        let mut gone = SmallVec::<[Record; 2]>::new();
        match record {
            Some(record) => {
                // The cache would drop it with its lock held.
                gone.extend(cache.peek(key));
                cache.insert_with_lifecycle(key.clone(), record.clone(), &mut gone);
            }
            None => gone.extend(cache.remove(key).map(|(_, record)| record)),
        }
        self.gone.add(gone);
    }
}

/// Records that are kept no longer, until a transaction has ended: what becomes of their objects is code of the user's, which may run
/// transactions. So it is neither for where a lock is held, nor for the threads that all transactions wait for.
#[derive(Clone, Default)]
pub(super) struct Gone(Arc<(AtomicBool, Mutex<Vec<Record>>)>);

impl Gone {
    pub(super) fn add(&self, records: impl IntoIterator<Item = Record>) {
        let mut records = records.into_iter().filter(|record| record.bytes.has_object()).peekable();
        if records.peek().is_some() {
            self.0.1.lock().extend(records);
            self.0.0.store(true, Ordering::Release);
        }
    }

    /// Lets them go. Only on threads of the user's, and not with anything held.
    pub(super) fn let_go(&self) {
        if self.0.0.load(Ordering::Relaxed) && self.0.0.swap(false, Ordering::Acquire) {
            let gone = std::mem::take(&mut *self.0.1.lock());
            drop(gone);
        }
    }
}

#[derive(Clone)]
struct Collect;

impl Lifecycle<RecordKey, Record> for Collect {
    type RequestState = SmallVec<[Record; 2]>;

    fn on_evict(&self, gone: &mut Self::RequestState, _: RecordKey, record: Record) {
        gone.push(record);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Version;

    fn key(n: u64) -> RecordKey {
        RecordKey::new(n.to_be_bytes())
    }

    fn record(n: u64, length: usize) -> Record {
        Record { version: Version::new(n.into()), bytes: vec![n as u8; length].into() }
    }

    /// How many of this many records of a length are still there, each in its newest state.
    fn kept(cache: &RecordCache, records: u64, length: usize) -> u64 {
        (0..records).for_each(|n| cache.put(&key(n), Some(&record(n, length))));
        let found = (0..records).filter_map(|n| cache.get(&key(n)).map(|found| (n, found)));
        found.inspect(|(n, found)| assert_eq!(found.bytes[..], record(*n, length).bytes[..])).count() as u64
    }

    #[test]
    fn what_fits_is_kept_until_it_is_removed() {
        let cache = RecordCache::new(1 << 20);
        assert_eq!(kept(&cache, 100, 1000), 100);
        cache.put(&key(7), Some(&record(8, 10)));
        assert_eq!(cache.get(&key(7)).map(|found| found.bytes.len()), Some(10));
        cache.put(&key(7), None);
        assert!(cache.get(&key(7)).is_none() && cache.get(&key(8)).is_some());
        assert_eq!(kept(&RecordCache::new(0), 100, 10), 0, "without room, nothing is kept");
    }

    #[test]
    fn no_more_is_kept_than_has_room() {
        for length in [0, 100, 1000, 10_000] {
            let bytes = (OVERHEAD + 8 + DECODED * length) as u64;
            let cache = RecordCache::new(1 << 20);
            let most = (1 << 20) / bytes;
            let kept = kept(&cache, 3 * most, length);
            assert!((most / 2..=most).contains(&kept), "{kept} of {length} bytes, and there is room for {most}");
        }
    }
}
