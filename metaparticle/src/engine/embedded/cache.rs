//! Records that the map has too, kept at hand up to a number of bytes.

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::engine::{Record, RecordKey};
use crate::planted::{Bug, planted};

/// What a record costs beside its bytes: its place in the cache, its counters, its key; and what a small object takes in any case.
const OVERHEAD: usize = 300;
/// An object that is kept takes more memory than its bytes, which are kept too: up to twice as much.
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
