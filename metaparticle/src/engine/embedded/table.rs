//! The truth about versions: the records that the map may not have yet, in front of the map that has all others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::cache::RecordCache;
use super::map::{Found as InMap, Group, OrderedMap, change_bytes};
use crate::Result;
use crate::engine::{Differs, KeyRange, Page, Record, RecordBytes, RecordKey, Reply, Request, Seen, Stamp, Version};
use crate::planted::{Bug, planted};

/// How many keys are read at once.
const PART: usize = 32;
/// A page ends when its records have reached this size, lest a page of large records take as much memory as they do.
const PAGE_BYTES: usize = 1 << 20;

/// One key's part of a commit.
#[derive(Clone, Debug)]
pub(super) struct Change<'a> {
    pub(super) key: &'a RecordKey,
    pub(super) bytes: &'a Option<RecordBytes>,
    /// Whether the key may come into being or go, which changes what a scan sees.
    pub(super) structural: bool,
}

/// A record, or its removal, that the map may not have yet.
struct Entry {
    commit: u64,
    bytes: Option<RecordBytes>,
}

impl Entry {
    fn record(&self) -> Option<Record> {
        let bytes = self.bytes.clone()?;
        Some(Record { version: Version::new(self.commit.into()), bytes })
    }
}

/// A commit that was made current.
pub(super) struct Published {
    pub(super) number: u64,
    /// Whether everything before it was taken to be written already.
    pub(super) is_first: bool,
    /// Bytes that are to be written, all commits together.
    pub(super) unwritten: usize,
}

/// All current records. Without a map, `entries` has every record; with one, those that are not in it yet.
pub(super) struct Table {
    map: Option<Arc<dyn OrderedMap>>,
    cache: RecordCache,
    entries: HashMap<RecordKey, Entry, RandomState>,
    /// Keys of `entries` that the map may not have at all: what it takes to find them in order.
    new: BTreeSet<RecordKey>,
    /// Keys that were changed since the last group was taken, each once.
    changed: Vec<RecordKey>,
    unwritten: usize,
    /// The newest commit's number.
    last: u64,
    /// The newest commit of the last group.
    taken: u64,
    /// The newest commit that may have added or removed a key.
    last_structural: u64,
}

impl Table {
    pub(super) fn new(map: Option<Arc<dyn OrderedMap>>, cache: RecordCache, last: u64) -> Self {
        Self {
            map,
            cache,
            entries: HashMap::default(),
            new: BTreeSet::new(),
            changed: Vec::new(),
            unwritten: 0,
            last,
            taken: last,
            last_structural: last,
        }
    }

    pub(super) fn has_map(&self) -> bool {
        self.map.is_some()
    }

    fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.find(key).map(|(record, _)| record)
    }

    /// The record, and the commit that a result based on it has to wait for.
    fn find(&self, key: &RecordKey) -> Result<(Option<Record>, u64)> {
        let entry = self.entries.get(key).filter(|_| !planted(Bug::ReadStale));
        let Some(map) = &self.map else { return Ok((entry.and_then(Entry::record), 0)) };
        if let Some(entry) = entry {
            return Ok((entry.record(), entry.commit));
        }
        if let Some(record) = self.cache.get(key) {
            return Ok((Some(record), 0));
        }
        let record = map.get(key)?;
        // Under the table's lock: nobody changes the key between the reading and the keeping.
        if record.is_some() {
            self.cache.put(key, record.as_ref());
        }
        Ok((record, 0))
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
            let found = self.keys_in(&seen.range, seen.keys.len() + 1, false)?;
            if !found.records.iter().map(|(key, _)| key).eq(&seen.keys) {
                differs.ranges.push(index);
            }
        }
        Ok(differs)
    }

    /// The reply to a request that found `differs`.
    pub(super) fn reply(&self, request: &Request<'_>, differs: Differs) -> Result<Reply> {
        let (mut read, mut durable_at) = (Vec::with_capacity(request.read.len()), 0);
        for key in request.read {
            let (record, commit) = self.find(key)?;
            read.push(record);
            durable_at = durable_at.max(commit);
        }
        for (key, _) in &differs.records {
            durable_at = durable_at.max(self.find(key)?.1);
        }
        Ok(Reply { read, differs, version: None, stamp: Stamp(self.last), durable_at: Stamp(durable_at) })
    }

    /// Makes the changes current and gives the commit its number, which is the version of what it writes.
    ///
    /// Numbers go on from the newest commit on disk, over removals and reopening, so no version is used twice for a key. Those
    /// of commits that a crash or a failed disk has lost are given again, and nobody can hold them: versions are known to
    /// attempts only, an attempt keeps its engine alive, and there is no other engine on the folder until it has ended.
    pub(super) fn publish(&mut self, changes: &[Change<'_>]) -> Published {
        let is_first = self.changed.is_empty();
        self.last += 1;
        for Change { key, bytes, structural } in changes {
            if *structural {
                self.last_structural = self.last;
            }
            if bytes.is_none() && self.map.is_none() {
                self.new.remove(*key);
                self.entries.remove(*key);
            } else {
                self.change(key, bytes, *structural);
            }
        }
        Published { number: self.last, is_first, unwritten: self.unwritten }
    }

    fn change(&mut self, key: &RecordKey, bytes: &Option<RecordBytes>, structural: bool) {
        if structural && bytes.is_some() {
            self.new.insert(key.clone());
        }
        let commit =
            if planted(Bug::ReuseVersion) { self.entries.get(key).map_or(1, |before| before.commit + 1) } else { self.last };
        let entry = Entry { commit, bytes: bytes.clone() };
        let before = match self.entries.get_mut(key) {
            Some(before) => Some(std::mem::replace(before, entry)),
            None => self.entries.insert(key.clone(), entry),
        };
        if self.map.is_none() {
            return;
        }
        self.unwritten += change_bytes(key, bytes.as_deref());
        match before.filter(|before| before.commit > self.taken) {
            // Nobody will ever read what was to be written before.
            Some(before) => self.unwritten -= change_bytes(key, before.bytes.as_deref()),
            None => self.changed.push(key.clone()),
        }
    }

    /// What has changed since the last group was taken.
    pub(super) fn take_group(&mut self) -> Group {
        self.taken = self.last;
        self.unwritten = 0;
        let changes = std::mem::take(&mut self.changed).into_iter();
        let changes = changes.map(|key| {
            let record = self.entries.get(&key).and_then(Entry::record);
            (key, record)
        });
        Group { changes: changes.collect(), last_commit: self.last }
    }

    /// Forgets what the map has by now: all that has not changed since commit `up_to`.
    pub(super) fn evict(&mut self, applied: &[InMap], up_to: u64) {
        for (key, record) in applied {
            if self.entries.get(key).is_some_and(|entry| entry.commit <= up_to) {
                self.entries.remove(key);
                self.new.remove(key);
            }
            // Also where there is a newer state: what was kept before is not what the map has now.
            self.cache.put(key, record.as_ref());
        }
    }

    /// Only where a bug is planted.
    pub(super) fn keep_rolled_back(&self, changes: &[Change<'_>]) {
        for Change { key, bytes, .. } in changes {
            if let (Some(kept), Some(bytes)) = (self.cache.get(key), bytes) {
                self.cache.put(key, Some(&Record { bytes: bytes.clone(), ..kept }));
            }
        }
    }

    pub(super) fn page(&self, range: &KeyRange, limit: usize, differs: Differs) -> Result<Page> {
        let stamp = Stamp(self.last);
        if !differs.is_empty() {
            return Ok(Page { records: Vec::new(), range: range.clone(), differs, stamp, durable_at: Stamp(0) });
        }
        let Found { records, range, newest } = self.keys_in(range, limit, true)?;
        let records = records.into_iter().filter_map(|(key, record)| Some((key, record?))).collect();
        let durable_at = if self.map.is_some() { newest } else { 0 };
        Ok(Page { records, range, differs, stamp, durable_at: Stamp(durable_at) })
    }

    /// Up to `limit` keys of `range`, and the part of `range` that they are all of, which ends early only at the limit or, with
    /// the records, when these grow large.
    fn keys_in(&self, range: &KeyRange, limit: usize, with_records: bool) -> Result<Found> {
        let mut found = Found { records: Vec::new(), range: range.clone(), newest: 0 };
        // Read up to here. The map may have keys that are removed here, so that it takes more than one part of it.
        let (mut read_to, mut bytes) = (range.start.clone(), 0);
        while found.records.len() < limit && bytes < PAGE_BYTES && read_to < range.end {
            let wanted = (limit - found.records.len()).min(PART);
            let mut part = self.keys_in_part(&KeyRange { start: read_to, end: range.end.clone() }, wanted, with_records)?;
            part.records.truncate(wanted);
            read_to = match part.records.last() {
                Some((last, _)) if part.records.len() == wanted => last.next(),
                _ => part.range.end,
            };
            let sizes = part.records.iter().filter_map(|(_, record)| record.as_ref()).map(|record| record.bytes.len());
            bytes += sizes.sum::<usize>();
            found.records.append(&mut part.records);
            found.newest = found.newest.max(part.newest);
        }
        found.range.end = read_to.max(range.start.clone());
        Ok(found)
    }

    /// Keys from the start of `range` up to an end, and that end: all of them or, in order, `wanted` at least.
    fn keys_in_part(&self, range: &KeyRange, wanted: usize, with_records: bool) -> Result<Found> {
        let mut found = Found { records: Vec::new(), range: range.clone(), newest: 0 };
        if let Some(map) = &self.map {
            // What is being written to the map right now is in `entries`, and its state in the map is left alone.
            found.records = map.range(range, wanted, &|key| with_records && !self.entries.contains_key(key))?;
            if let Some((last, _)) = found.records.last().filter(|_| found.records.len() == wanted) {
                found.range.end = last.next();
            }
            found.records.retain_mut(|(key, record)| {
                let Some(entry) = self.entries.get(key) else { return true };
                found.newest = found.newest.max(entry.commit);
                *record = entry.record().filter(|_| with_records);
                // Removals count too: the result says that their keys are not there.
                entry.bytes.is_some()
            });
        }
        let in_map = found.records.len();
        for key in self.new.range(found.range.start.clone()..found.range.end.clone()) {
            let Some(entry) = self.entries.get(key) else { continue };
            found.newest = found.newest.max(entry.commit);
            let is_known = || found.records[..in_map].binary_search_by(|(known, _)| known.cmp(key)).is_ok();
            if entry.bytes.is_some() && !is_known() {
                found.records.push((key.clone(), entry.record().filter(|_| with_records)));
            }
            if found.records.len() == in_map + wanted {
                break;
            }
        }
        found.records.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }
}

/// Keys in order, with their records if these were wanted.
struct Found {
    records: Vec<InMap>,
    /// What they are all keys of.
    range: KeyRange,
    /// The newest commit among them, and among the removed ones.
    newest: u64,
}
