//! Objects that are given away by value, for those who watch: only those of another version than is known.

use std::collections::{BTreeMap, BTreeSet};

use super::Tx;
use super::attempt::Attempt;
use crate::engine::{KeyRange, RecordKey, Version};
use crate::error::Result;
use crate::key::ObjectKey;
use crate::persistent::Persistent;

/// An object whose version is not the known one.
pub(crate) struct Found<T> {
    pub(crate) key: RecordKey,
    /// `None`: it is not there.
    pub(crate) version: Option<Version>,
    /// The object, or why it cannot be read.
    pub(crate) object: Result<Option<T>>,
}

impl<T> Found<T> {
    /// One that is not there.
    pub(crate) fn gone(key: RecordKey) -> Self {
        Self { key, version: None, object: Ok(None) }
    }
}

/// A part of a range of keys.
pub(crate) struct Part<T> {
    /// All keys in it that have an object.
    pub(crate) keys: BTreeSet<RecordKey>,
    pub(crate) found: Vec<Found<T>>,
    /// Where it ends.
    pub(crate) end: RecordKey,
}

impl Tx {
    /// The first part of `range`.
    pub(crate) fn look_at_range<T: Persistent>(&self, range: &KeyRange, known: &BTreeMap<RecordKey, Version>) -> Result<Part<T>> {
        let attempt = self.attempt_state();
        let (keys, read) = attempt.scan::<T>(range, true)?;
        let found = keys.iter().filter_map(|key| attempt.look(&ObjectKey::of_record_key(key.clone()), known).transpose());
        Ok(Part { found: found.collect::<Result<_>>()?, keys: keys.into_iter().collect(), end: read.end })
    }

    /// Those of `keys` that are not what is known.
    pub(crate) fn look_at<T: Persistent>(
        &self,
        keys: &[ObjectKey<T>],
        known: &BTreeMap<RecordKey, Version>,
    ) -> Result<Vec<Found<T>>> {
        let attempt = self.attempt_state();
        let info = attempt.info::<T>()?;
        let all = keys.iter().map(|key| (info, key.record_key().clone())).collect();
        attempt.load(all)?;
        keys.iter().filter_map(|key| attempt.look(key, known).transpose()).collect()
    }
}

impl Attempt {
    fn look<T: Persistent>(&self, key: &ObjectKey<T>, known: &BTreeMap<RecordKey, Version>) -> Result<Option<Found<T>>> {
        let index = self.slot(key.untyped())?;
        let version = self.state.borrow().seen.records[index].1;
        let record_key = key.record_key();
        if version == known.get(record_key).copied() {
            return Ok(None);
        }
        let object = version.map(|_| self.decode(index)).transpose();
        Ok(Some(Found { key: record_key.clone(), version, object }))
    }
}
