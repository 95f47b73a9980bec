//! The truth about versions: the records that are not yet on disk, in front of the map that has all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::map::{Found, OrderedMap};
use crate::Result;
use crate::engine::{Differs, KeyRange, Page, Record, RecordKey, Reply, Request, Seen, Stamp, Version};

/// How many keys are read from the map at once.
const PART: usize = 32;
/// A page ends when its records have reached this size, lest a page of large records take as much memory as they do.
const PAGE_BYTES: usize = 1 << 20;

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
            let (found, _) = self.find(&seen.range, seen.keys.len() + 1, false)?;
            if !found.iter().map(|(key, _)| key).eq(&seen.keys) {
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

    /// Makes the changes current and gives the commit its number, which is the version of what it writes.
    ///
    /// Numbers go on from the newest commit on disk, over removals and reopening, so no version is used twice for a key. Those
    /// of commits that a crash or a failed disk has lost are given again, and nobody can hold them: versions are known to
    /// attempts only, an attempt keeps its engine alive, and there is no other engine on the folder until it has ended.
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
        let (found, range) = self.find(range, limit, true)?;
        let records = found.into_iter().filter_map(|(key, record)| Some((key, record?))).collect();
        // Removals count too: the result says that their keys are not there.
        let pending = if self.map.is_some() && range.start < range.end {
            self.entries.range(range.start.clone()..range.end.clone()).map(|(_, entry)| entry.commit).max()
        } else {
            None
        };
        Ok(Page { records, range, differs, stamp, durable_at: Stamp(pending.unwrap_or(0)) })
    }

    /// Up to `limit` keys of `range`, and the part of `range` that they are all of, which ends early only at the limit or, with
    /// the records, when these grow large.
    fn find(&self, range: &KeyRange, limit: usize, with_records: bool) -> Result<(Vec<Found>, KeyRange)> {
        let mut found: Vec<Found> = Vec::new();
        // Read up to here. The map may have keys that are removed here, so that it takes more than one part of it.
        let (mut read_to, mut bytes) = (range.start.clone(), 0);
        while found.len() < limit && bytes < PAGE_BYTES && read_to < range.end {
            let wanted = limit - found.len();
            let (mut part, end) = self.find_part(&read_to, &range.end, wanted, with_records)?;
            part.truncate(wanted);
            read_to = match part.last() {
                Some((last, _)) if part.len() == wanted => last.next(),
                _ => end,
            };
            bytes += part.iter().filter_map(|(_, record)| record.as_ref()).map(|record| record.bytes.len()).sum::<usize>();
            found.append(&mut part);
        }
        Ok((found, KeyRange { start: range.start.clone(), end: read_to.max(range.start.clone()) }))
    }

    /// Keys from `start` up to an end that is at most `end`, and that end: all of them or, in order, `wanted` at least.
    fn find_part(
        &self,
        start: &RecordKey,
        end: &RecordKey,
        wanted: usize,
        with_records: bool,
    ) -> Result<(Vec<Found>, RecordKey)> {
        let (mut end, mut found) = (end.clone(), Vec::new());
        if let Some(map) = &self.map {
            let limit = wanted.min(PART);
            let range = KeyRange { start: start.clone(), end: end.clone() };
            // What the flusher may be writing right now is in `entries`, and its state in the map is left alone.
            found = map.range(&range, limit, &|key| with_records && !self.entries.contains_key(key))?;
            if let Some((last, _)) = found.last().filter(|_| found.len() == limit) {
                end = last.next();
            }
            found.retain(|(key, _)| !self.entries.contains_key(key));
        }
        let entries = self.entries.range(start.clone()..end.clone());
        let records = entries.filter_map(|(key, entry)| Some((key.clone(), Some(entry.record()?))));
        found.extend(records.take(wanted));
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok((found, end))
    }
}
