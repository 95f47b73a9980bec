//! Many records written in few commits, none of them over another one unless that is asked for.

use std::collections::HashSet;

use super::{ATTEMPTS, Inspector, kept_changing};
use crate::engine::{RecordBytes, RecordKey, Request, Seen, Write};
use crate::error::Result;

/// How many records and bytes are written at once, if the engine takes so many.
const RECORDS: usize = 1 << 10;
const BYTES: usize = 1 << 18;

/// What a [`Loader`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were not there before.
    pub new: u64,
    /// Records that were there with other bytes.
    pub replaced: u64,
    /// Records that were there already, byte for byte.
    pub equal: u64,
}

/// Writes many records; see [`Inspector::loader`].
#[derive(Debug)]
pub struct Loader<'a> {
    inspector: &'a Inspector,
    batch: Vec<(RecordKey, RecordBytes)>,
    keys: HashSet<RecordKey>,
    bytes: usize,
    /// Whether records may be replaced that are there with other bytes.
    pub replace: bool,
    /// What has been done.
    pub counts: Counts,
}

impl Inspector {
    /// Writes many records in few commits, each record only if it is not there. What it has written survives a power cut after
    /// [`flush`](Inspector::flush).
    pub fn loader(&self) -> Loader<'_> {
        let (batch, keys) = (Vec::new(), HashSet::new());
        Loader { inspector: self, batch, keys, bytes: 0, replace: false, counts: Counts::default() }
    }
}

impl Loader<'_> {
    /// Whether a record of this key and size has to wait until [`write`](Loader::write) was called.
    pub fn is_full_for(&self, key: &RecordKey, size: usize) -> bool {
        let limits = self.inspector.limits();
        let too_many = self.batch.len() >= RECORDS.min(limits.commit_records);
        let too_large = self.bytes + key.len() + size > BYTES.min(limits.commit_bytes);
        !self.batch.is_empty() && (too_many || too_large || self.keys.contains(key))
    }

    /// Adds a record to those that are written next.
    pub fn add(&mut self, key: RecordKey, bytes: RecordBytes) {
        self.bytes += key.len() + bytes.len();
        self.keys.insert(key.clone());
        self.batch.push((key, bytes));
    }

    /// Writes what was added. If there is a record with other bytes in its place, and it may not be replaced, nothing is written
    /// and that record's key is returned; what was added stays, to be written when `replace` is set.
    ///
    /// # Errors
    /// The engine's; [`Conflict`](crate::ErrorKind::Conflict) if others kept changing one of the records.
    pub fn write(&mut self) -> Result<Option<RecordKey>> {
        for _ in 0..ATTEMPTS {
            let mut counts = self.counts;
            let (mut compare, mut write) = (Seen::default(), Vec::new());
            let keys: Vec<RecordKey> = self.batch.iter().map(|(key, _)| key.clone()).collect();
            let waiter = self.inspector.waiter();
            let reply = waiter.wait(self.inspector.engine().execute(Request { read: &keys, ..waiter.request() }))?;
            for ((key, bytes), current) in self.batch.iter().zip(reply.read) {
                match &current {
                    None => counts.new += 1,
                    Some(current) if current.bytes == *bytes => {
                        counts.equal += 1;
                        continue;
                    }
                    Some(_) if !self.replace => return Ok(Some(key.clone())),
                    Some(_) => counts.replaced += 1,
                }
                compare.records.push((key.clone(), current.map(|current| current.version)));
                write.push(Write { key: key.clone(), bytes: Some(bytes.clone()) });
            }
            if write.is_empty() || self.inspector.write(&compare, &write)?.differs.is_empty() {
                self.counts = counts;
                self.batch.clear();
                self.keys.clear();
                self.bytes = 0;
                return Ok(None);
            }
        }
        Err(self.batch.first().map_or_else(|| kept_changing(&RecordKey::new([])), |(key, _)| kept_changing(key)))
    }
}
