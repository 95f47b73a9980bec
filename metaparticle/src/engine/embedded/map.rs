//! What stands behind the commit pipeline: a log, which makes commits last, and an ordered map, which follows it.
//!
//! One thread, the flusher, works with the log; another one, the follower, calls the map's `apply`; any thread calls `get` and
//! `range`.

use crate::Result;
use crate::engine::{KeyRange, Limits, Record, RecordKey};

/// Numbers of commits, of marks and of the journal's segments are less. None gets so far, but a hostile one may say so, and there must be a
/// next one.
pub(crate) const NUMBERS: u64 = 1 << 63;

/// Changes of one or more whole commits, merged: each key once, with its newest state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Each changed key with its new record, or `None` where it was removed.
    pub(crate) changes: Vec<(RecordKey, Option<Record>)>,
    /// The number of the newest commit in the group.
    pub(crate) last_commit: u64,
}

/// A key in the map, with its record if that was wanted.
pub(crate) type Found = (RecordKey, Option<Record>);

/// What makes commits last.
pub(crate) trait Log: Send + 'static {
    /// Writes a group, all or nothing, and returns when it survives a power cut.
    fn append(&mut self, group: &Group) -> Result<()>;

    /// Forgets groups up to this commit: the map has them.
    fn release(&mut self, commit: u64) -> Result<()>;

    /// Bytes that were appended and not released yet.
    fn bytes(&self) -> u64;
}

/// An ordered map on disk.
pub(crate) trait OrderedMap: Send + Sync + 'static {
    /// The record of `key`. A damaged record is an error that gives the key. Not called for a key that `apply` is changing,
    /// so a record may be read in several steps.
    fn get(&self, key: &[u8]) -> Result<Option<Record>>;

    /// Up to `limit` keys of `range`, in order, with the records of those that are `wanted`; as with `get`, none of these is
    /// being changed by `apply`.
    fn range(&self, range: &KeyRange, limit: usize, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Found>>;

    /// Makes the changes and the commit number durable, and returns when they survive a power cut. After one that
    /// comes before, there may be some of the changes, with the commit number of before. Commits may come in several groups, of which the
    /// last has the newest one's number.
    fn apply(&self, group: &Group) -> Result<()>;

    /// The number of the newest commit applied, as found at opening.
    fn last_commit(&self) -> u64;

    /// What it can take.
    fn limits(&self) -> Limits;
}

/// What a change takes in a log beside its key and record.
const CHANGE_BYTES: usize = 32;

/// About how many bytes are written for a change.
pub(crate) fn change_bytes(key: &[u8], bytes: Option<&[u8]>) -> usize {
    CHANGE_BYTES + key.len() + bytes.map_or(0, <[u8]>::len)
}
