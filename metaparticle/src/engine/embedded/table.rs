//! The truth about versions: the records that are not yet on disk, in front of the map that has all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::map::OrderedMap;
use crate::Result;
use crate::engine::{Differs, KeyRange, Page, Record, RecordKey, Reply, Request, Seen, Stamp, Version};

/// One key's part of a commit.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: RecordKey,
    pub(super) bytes: Option<Arc<[u8]>>,
    /// Whether the key may come into being or go, which changes what a scan sees.
    pub(super) structural: bool,
}

/// A record, or its removal, that the map may not have yet.
struct Entry {
    commit: u64,
    bytes: Option<Arc<[u8]>>,
}

impl Entry {
    fn record(&self) -> Option<Record> {
        let bytes = self.bytes.clone()?;
        Some(Record { version: Version::new(self.commit.into()), bytes })
    }
}

/// All current records. Without a map, `entries` has every record; with one, those of commits that are not yet durable.
pub(super) struct Table {
    map: Option<Arc<dyn OrderedMap>>,
    entries: BTreeMap<RecordKey, Entry>,
    /// The newest commit's number.
    last: u64,
    /// The newest commit that may have added or removed a key.
    last_structural: u64,
}

impl Table {
    pub(super) fn new(map: Option<Arc<dyn OrderedMap>>, last: u64) -> Self {
        Self { map, entries: BTreeMap::new(), last, last_structural: last }
    }

    pub(super) fn has_map(&self) -> bool {
        self.map.is_some()
    }

    fn record(&self, key: &[u8]) -> Result<Option<Record>> {
        match (self.entries.get(key), &self.map) {
            (Some(entry), _) => Ok(entry.record()),
            (None, Some(map)) => map.get(key),
            (None, None) => Ok(None),
        }
    }

    /// The commit that a result based on `key` has to wait for.
    fn durable_at(&self, key: &[u8]) -> u64 {
        match (&self.map, self.entries.get(key)) {
            (Some(_), Some(entry)) => entry.commit,
            _ => 0,
        }
    }

    /// What of `seen` is no longer current.
    pub(super) fn differs(&self, seen: &Seen) -> Result<Differs> {
        let mut differs = Differs::default();
        // Nothing at all has been committed since.
        if seen.stamp != Stamp(0) && seen.stamp.0 == self.last {
            return Ok(differs);
        }
        for (key, version) in &seen.records {
            let record = self.record(key)?;
            if record.as_ref().map(|record| record.version) != *version {
                differs.records.push((key.clone(), record));
            }
        }
        // No key has come or gone since.
        if seen.stamp != Stamp(0) && seen.stamp.0 >= self.last_structural {
            return Ok(differs);
        }
        for (index, seen) in seen.ranges.iter().enumerate() {
            // One more than was seen, to notice an additional key at the end.
            let page = self.records(&seen.range, seen.keys.len() + 1)?;
            if !page.0.iter().map(|(key, _)| key).eq(&seen.keys) {
                differs.ranges.push(index);
            }
        }
        Ok(differs)
    }

    /// The reply to a request that found `differs`.
    pub(super) fn reply(&self, request: &Request<'_>, differs: Differs) -> Result<Reply> {
        let read: Result<Vec<_>> = request.read.iter().map(|key| self.record(key)).collect();
        let told = request.read.iter().chain(differs.records.iter().map(|(key, _)| key));
        let durable_at = told.map(|key| self.durable_at(key)).max().unwrap_or(0);
        Ok(Reply { read: read?, differs, version: None, stamp: Stamp(self.last), durable_at: Stamp(durable_at) })
    }

    /// Makes the changes current and gives the commit its number.
    pub(super) fn publish(&mut self, changes: &[Change]) -> u64 {
        self.last += 1;
        for Change { key, bytes, structural } in changes {
            if *structural {
                self.last_structural = self.last;
            }
            if bytes.is_none() && self.map.is_none() {
                self.entries.remove(&**key);
            } else {
                self.entries.insert(key.clone(), Entry { commit: self.last, bytes: bytes.clone() });
            }
        }
        self.last
    }

    /// Forgets what the map has by now: the entries of `keys` up to commit `durable`.
    pub(super) fn evict<'a>(&mut self, keys: impl Iterator<Item = &'a RecordKey>, durable: u64) {
        for key in keys {
            if self.entries.get(&**key).is_some_and(|entry| entry.commit <= durable) {
                self.entries.remove(&**key);
            }
        }
    }

    pub(super) fn page(&self, range: &KeyRange, limit: usize, differs: Differs) -> Result<Page> {
        let stamp = Stamp(self.last);
        if !differs.is_empty() {
            return Ok(Page { records: Vec::new(), range: range.clone(), differs, stamp, durable_at: Stamp(0) });
        }
        let (records, range) = self.records(range, limit)?;
        // Removals count too: the result says that their keys are not there.
        let pending = if self.map.is_some() && range.start < range.end {
            self.entries.range(range.start.clone()..range.end.clone()).map(|(_, entry)| entry.commit).max()
        } else {
            None
        };
        Ok(Page { records, range, differs, stamp, durable_at: Stamp(pending.unwrap_or(0)) })
    }

    /// Up to `limit` records of `range`, and the part of `range` that they are all of.
    fn records(&self, range: &KeyRange, limit: usize) -> Result<(Vec<(RecordKey, Record)>, KeyRange)> {
        if range.start >= range.end {
            return Ok((Vec::new(), range.clone()));
        }
        let mut read = range.clone();
        let mut records: BTreeMap<RecordKey, Record> = BTreeMap::new();
        if let Some(map) = &self.map {
            let page = map.range(range, limit)?;
            if page.len() >= limit
                && let Some((last, _)) = page.last()
            {
                read.end = just_after(last);
            }
            records.extend(page);
        }
        for (key, entry) in self.entries.range(read.start.clone()..read.end.clone()) {
            match entry.record() {
                Some(record) => records.insert(key.clone(), record),
                None => records.remove(&**key),
            };
        }
        let mut records: Vec<_> = records.into_iter().collect();
        if records.len() > limit {
            records.truncate(limit);
        }
        if records.len() == limit
            && let Some((last, _)) = records.last()
        {
            read.end = just_after(last);
        }
        Ok((records, read))
    }
}

/// The smallest key after `key`.
fn just_after(key: &RecordKey) -> RecordKey {
    RecordKey::new([&**key, &[0]].concat())
}
