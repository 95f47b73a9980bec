//! The ordered map behind the commit pipeline: what an embedded key-value store must be able to do.
//!
//! One thread, the flusher, calls `apply`; any thread calls `get` and `range`.

use std::sync::Arc;

use crate::Result;
use crate::engine::{KeyRange, Limits, Record, RecordKey};

/// Changes of one or more whole commits, merged: each key once, with its newest state.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Each changed key with its new record, or `None` where it was removed.
    pub(crate) changes: Vec<(RecordKey, Option<Record>)>,
    /// The number of the newest commit in the group.
    pub(crate) last_commit: u64,
}

/// A key in the map, with its record if that was wanted.
pub(crate) type Found = (RecordKey, Option<Record>);

/// An ordered map on disk.
pub(crate) trait OrderedMap: Send + Sync + 'static {
    /// The record of `key`. A damaged record is an error that gives the key. Not called for a key that `apply` is changing,
    /// so a record may be read in several steps.
    fn get(&self, key: &[u8]) -> Result<Option<Record>>;

    /// Up to `limit` keys of `range`, in order, with the records of those that are `wanted`; as with `get`, none of these is
    /// being changed by `apply`.
    fn range(&self, range: &KeyRange, limit: usize, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Found>>;

    /// Makes the group's changes and its commit number durable, all or none, and returns when they survive a power cut.
    fn apply(&self, group: &Group) -> Result<()>;

    /// The number of the newest commit applied, as found at opening.
    fn last_commit(&self) -> u64;

    /// What it can take. A group is never larger than `commit_bytes`.
    fn limits(&self) -> Limits;
}

/// Bytes as the limits count them.
pub(crate) fn change_bytes(key: &[u8], bytes: Option<&Arc<[u8]>>) -> usize {
    key.len() + bytes.map_or(0, |bytes| bytes.len())
}
