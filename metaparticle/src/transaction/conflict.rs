//! A conflict: what an attempt has seen and others have changed, and what that means for the next one.

use super::hot_keys::HotKeys;
use crate::engine::{Differs, Record, RecordKey, Reply, Stamp};
use crate::error::{Error, ErrorKind};

/// The last attempt that leaves it to chance whether others are faster.
const PATIENT: u32 = 4;

/// Whether everybody is to wait for an attempt with this number.
pub(super) fn insists(number: u32) -> bool {
    number > PATIENT
}

/// What was found changed.
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    pub(super) keys: Vec<RecordKey>,
    pub(super) objects: Vec<String>,
    /// Whether a group has failed: all of its members run again as the next group, without queueing for each other.
    pub(super) at_once: bool,
    /// What the one object is instead, if that is known.
    pub(super) fresh: Option<Box<Fresh>>,
}

/// An object as it was when a commit of it failed.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) key: RecordKey,
    pub(super) record: Option<Record>,
    /// What is based on it may be given away once this is durable.
    pub(super) durable_at: Stamp,
}

impl Fresh {
    /// What a reply says of the object of a group.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        let (key, record) = reply.differs.records.first().cloned()?;
        Some(Self { key, record, durable_at: reply.durable_at })
    }
}

impl Conflict {
    /// What it means for attempt number `next`: who has lost so often queues, since others may be faster each time; and so do they
    /// when somebody insists.
    pub(super) fn limited(mut self, next: u32, queues: &HotKeys) -> Self {
        if insists(next) || self.keys.iter().any(|key| queues.is_insisted_on(key)) {
            (self.at_once, self.fresh) = (false, None);
        }
        self
    }

    pub(super) fn of_group(self, fresh: Option<Fresh>) -> Self {
        Self { at_once: true, fresh: fresh.map(Box::new), ..self }
    }

    /// The same as an engine would say it.
    pub(super) fn differs(&self) -> Differs {
        Differs { records: self.keys.iter().map(|key| (key.clone(), None)).collect(), ranges: Vec::new() }
    }

    pub(super) fn error(&self) -> Error {
        let message = format!("another transaction has changed {} meanwhile; the body will be run again", self.names());
        Error::new(ErrorKind::Conflict, message)
    }

    pub(super) fn names(&self) -> String {
        self.objects.join(", ")
    }
}
