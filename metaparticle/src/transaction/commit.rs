//! The end of an attempt: what it writes, whether that may be committed, and the rebase onto records that others have changed.

use std::time::Duration;

use super::attempt::{Attempt, Change, Current, Doom, Slot};
use super::conflict::{Conflict, Fresh};
use super::gate::{Grouped, Origin, Sent};
use super::group::is_of_one_object;
use crate::encoding::FieldSet;
use crate::engine::{Answer, CommitId, Engine, Record, RecordBytes, RecordKey, Reply, Request, Stamp, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::store::Waiter;

/// How often a commit is rebased before it counts as a conflict, so that it cannot lose for ever.
pub(super) const REBASES: u32 = 16;

/// What an attempt writes.
pub(super) type Writes = Vec<Write>;

/// What became of an attempt.
pub(super) enum Committed {
    /// It is done, and durable as far as was asked for.
    Done,
    /// It has to be run again.
    Conflict(Conflict),
}

impl Attempt {
    /// Why the attempt cannot be committed, whatever its body returned.
    pub(super) fn doomed(&self) -> Option<Doom> {
        self.state.borrow().doom.as_deref().cloned()
    }

    pub(super) fn wait_durable(&self, stamp: Stamp) -> Result<()> {
        if self.log().is_none() && self.store.engine().durable_soon(stamp) {
            return Ok(());
        }
        let answer = self.store.engine().durable(stamp);
        self.waiter().wait(answer)
    }

    /// Commits what the body has changed.
    pub(super) fn commit(&self) -> Result<Committed> {
        let since = self.store.groups().moment();
        for round in 0..=REBASES {
            let write = match self.prepare(round) {
                Ok(Some(write)) => write,
                Ok(None) => return self.finish_reading(self.waits_for_disk()),
                Err(error) => return self.fail(error),
            };
            let (reply, origin) = match self.send(&write)? {
                Sent::Reply(reply) => (reply, Origin::Engine),
                Sent::Behind(reply) => (reply, Origin::Ahead),
                Sent::Joined(group) => match self.finish_with(&group, since)? {
                    Grouped::Done => return Ok(Committed::Done),
                    Grouped::Differs(reply) => (reply, Origin::Group),
                    Grouped::Conflict(conflict) => return Ok(Committed::Conflict(conflict)),
                },
                Sent::Conflict(conflict) => return Ok(Committed::Conflict(conflict)),
            };
            if reply.differs.is_empty() {
                self.written();
                self.state.borrow_mut().room_for_writes = write;
                return self.finish_writing(reply.durable_at);
            }
            match self.rebase_or_conflict(&reply, origin, round) {
                Ok(Some(conflict)) => return Ok(Committed::Conflict(conflict)),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "a commit was rebased too often"))
    }

    /// An error before anything was sent, which is held back: it may tell of what was read.
    fn fail(&self, error: Error) -> Result<Committed> {
        if error.is_timeout() {
            return Err(error);
        }
        match self.finish_reading(true)? {
            Committed::Done => Err(error),
            conflict => Ok(conflict),
        }
    }

    /// What is to be written. `None`: nothing. Then what was read was current together when the last of it was read, and that is
    /// when this transaction happened.
    pub(super) fn prepare(&self, round: u32) -> Result<Option<Writes>> {
        self.check_all_returned()?;
        if self.state.borrow().has_changed_nothing() {
            return Ok(None);
        }
        let write = self.writes(round > 0)?;
        if write.is_empty() {
            return Ok(None);
        }
        self.check_limits(&write)?;
        let now = self.store.clock().now();
        self.check_deadline_at(now)?;
        if let Some(turn) = &mut self.state.borrow_mut().turn {
            turn.ends_at(now);
        }
        Ok(Some(write))
    }

    /// Everybody sees the changes now.
    pub(super) fn written(&self) {
        self.store.counters().committed();
        // Whoever waits for its turn need not wait for the disk.
        self.state.borrow_mut().turn = None;
    }

    /// What the commit is in conflict with, if it cannot be put on top of what others have committed.
    pub(super) fn rebase_or_conflict(&self, reply: &Reply, origin: Origin, round: u32) -> Result<Option<Conflict>> {
        if round == REBASES || !self.rebase(reply)? {
            let conflict = self.conflict(&reply.differs);
            return Ok(Some(match origin {
                Origin::Engine => conflict,
                Origin::Group => conflict.of_group(Fresh::of(reply)),
                Origin::Ahead => conflict.of_group(None),
            }));
        }
        self.store.counters().rebased();
        Ok(None)
    }

    fn send(&self, write: &[Write]) -> Result<Sent> {
        let id = CommitId(random::id());
        {
            let state = self.state.borrow();
            let request = Request { compare: &state.seen, read: &[], write, id, durability: self.fixed().durability };
            let answer = self.store.engine().execute(request);
            // Not where a commit is only not begun yet: an engine in a folder waits for room.
            let is_grouped = matches!(answer, Answer::Committing(_)) && is_of_one_object(&state.seen, write);
            if matches!(answer, Answer::Ready(_)) || state.gate.is_none() && !is_grouped {
                let reply = self.waiter().wait(answer).map_err(|error| within_function(self.fixed().name, error))?;
                return Ok(Sent::Reply(reply));
            }
        }
        if let Some(sent) = self.join_group(write) {
            return Ok(sent);
        }
        if let Some(conflict) = self.settle_gate()? {
            return Ok(Sent::Conflict(conflict));
        }
        self.send(write)
    }

    fn finish_writing(&self, stamp: Stamp) -> Result<Committed> {
        if self.waits_for_disk() {
            self.wait_durable(stamp).map_err(|error| commit_is_open(self.fixed().name, error))?;
        } else {
            self.store.flush_at_exit(stamp);
        }
        Ok(Committed::Done)
    }

    fn check_all_returned(&self) -> Result<()> {
        let state = self.state.borrow();
        if let Some((_, object)) = state.interrupted.as_deref() {
            let message = format!("a panic cut short a change of {object} and was caught inside the body; nothing was written");
            return Err(Error::new(ErrorKind::Interrupted, message));
        }
        match state.slots.iter().position(|slot| slot.lent) {
            None => Ok(()),
            Some(index) => {
                let object = state.slots[index].info.object(&state.seen.records[index].0);
                let message = format!("a handle of {object} was leaked, so its changes are not known; nothing was written");
                Err(Error::new(ErrorKind::Borrowed, message))
            }
        }
    }

    /// What differs from the engine's records. After a rebase, fields that were assigned without being read count even if
    /// their value was the old one.
    fn writes(&self, rebased: bool) -> Result<Writes> {
        let mut writes = std::mem::take(&mut self.state.borrow_mut().room_for_writes);
        let state = self.state.borrow();
        for (slot, (key, _)) in state.slots.iter().zip(&state.seen.records) {
            let bytes = match &slot.current {
                Current::Base => continue,
                Current::Removed if slot.base.is_none() => continue,
                Current::Removed => None,
                Current::Changed(change) => match self.changed_record(slot, key, change, rebased)? {
                    None => continue,
                    bytes => bytes,
                },
            };
            self.check_may_write(slot, key)?;
            writes.push(Write { key: key.clone(), bytes });
        }
        Ok(writes)
    }

    fn check_may_write(&self, slot: &Slot, key: &RecordKey) -> Result<()> {
        if !self.fixed().read_only {
            return Ok(());
        }
        let message = format!("`{}` is read-only, and has changed {}", self.fixed().name, slot.info.object(key));
        Err(Error::new(ErrorKind::ReadOnly, message))
    }

    /// The changed record's bytes; `None` if they are what the engine has.
    fn changed_record(&self, slot: &Slot, key: &RecordKey, change: &Change, rebased: bool) -> Result<Option<RecordBytes>> {
        let of_object = |error: Error| error.within(slot.info.object(key));
        let engine = self.store.engine();
        let waiter = self.waiter();
        let base = slot.base.as_ref().map(|record| &*record.bytes);
        if let Some(schema) = change.compared_with.filter(|schema| schema.is_own() && !change.whole) {
            // What is not changed is in the record as it is in the object.
            if change.changed.is_empty() {
                return Ok(None);
            }
            if let Some(record) = change.fields.record(schema.number()) {
                schema.check_new(record).map_err(of_object)?;
                return Ok(Some(record.clone()));
            }
        }
        let mut written = if rebased { change.changed | change.assigned } else { change.changed };
        if let (Some(base), false) = (base, change.whole) {
            written = unequal_fields(slot, base, change, written, engine, &waiter).map_err(of_object)?;
            if written.is_empty() {
                return Ok(None);
            }
        }
        if base.is_none() || !change.whole {
            // It is surely changed; and the store may not know the schema yet, which would be written with it.
            self.check_may_write(slot, key)?;
        }
        let onto = if change.whole { None } else { base };
        let bytes = slot.info.compose(onto, &change.fields, written, engine, &waiter).map_err(of_object)?;
        Ok((base != Some(&bytes)).then(|| bytes.into()))
    }

    fn check_limits(&self, writes: &[Write]) -> Result<()> {
        let limits = self.store.engine().limits();
        let url = self.store.url();
        let size = |write: &Write| write.bytes.as_ref().map_or(0, |bytes| bytes.len());
        let too_much = |message: String| Err(Error::new(ErrorKind::Limit, message));
        let object = |key: &RecordKey| {
            let state = self.state.borrow();
            state.index_of(key).map(|index| state.slots[index].info.object(key)).unwrap_or_default()
        };
        if let Some(write) = writes.iter().find(|write| size(write) > limits.record_bytes) {
            let (object, size, limit) = (object(&write.key), size(write), limits.record_bytes);
            return too_much(format!("{object} takes {size} bytes; {url} keeps objects of up to {limit} bytes"));
        }
        let total: usize = writes.iter().map(|write| write.key.len() + size(write)).sum();
        if total > limits.commit_bytes {
            let largest = writes.iter().max_by_key(|write| size(write)).map(|write| object(&write.key)).unwrap_or_default();
            return too_much(format!(
                "`{}` changes {} objects of {total} bytes together, the largest {largest}; {url} commits up to {} bytes at once",
                self.fixed().name,
                writes.len(),
                limits.commit_bytes
            ));
        }
        if writes.len() > limits.commit_records {
            return too_much(format!(
                "`{}` changes {} objects; {url} commits up to {} at once",
                self.fixed().name,
                writes.len(),
                limits.commit_records
            ));
        }
        Ok(())
    }

    pub(super) fn check_deadline(&self) -> Result<()> {
        self.check_deadline_at(self.store.clock().now())
    }

    fn check_deadline_at(&self, now: Duration) -> Result<()> {
        if now >= self.fixed().deadline { Err(self.fixed().too_late()) } else { Ok(()) }
    }

    /// Puts the attempt on top of what others have committed meanwhile, if nothing that its body has read is changed by it.
    fn rebase(&self, reply: &Reply) -> Result<bool> {
        if !reply.differs.ranges.is_empty() {
            return Ok(false);
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        for (key, fresh) in &reply.differs.records {
            let Some(slot) = state.index_of(key).map(|index| &state.slots[index]) else { return Ok(false) };
            if !self.reads_are_unchanged(slot, fresh.as_ref())? {
                return Ok(false);
            }
        }
        for (key, fresh) in &reply.differs.records {
            if let Some(index) = state.index_of(key) {
                state.seen.records[index].1 = fresh.as_ref().map(|record| record.version);
                state.slots[index].base.clone_from(fresh);
                if let Current::Changed(change) = &mut state.slots[index].current {
                    change.compared_with = None;
                }
            }
        }
        // Everything else was found unchanged at the instant that the fresh records are from.
        state.seen.stamp = reply.stamp;
        state.durable_at = state.durable_at.max(reply.durable_at);
        Ok(true)
    }

    /// Whether nothing that the body has read of an object has changed, so that its writes can be put on the fresh record.
    fn reads_are_unchanged(&self, slot: &Slot, fresh: Option<&Record>) -> Result<bool> {
        let (before, fresh) = match (&slot.base, fresh) {
            (Some(before), Some(fresh)) => (before, fresh),
            (None, None) => return Ok(true),
            _ => return Ok(!slot.read_existence && slot.read_fields.is_empty()),
        };
        let (engine, waiter) = (self.store.engine(), self.waiter());
        let before = slot.info.read(&before.bytes, engine, &waiter)?;
        let fresh = slot.info.read(&fresh.bytes, engine, &waiter)?;
        // Fields that were not written are taken from the fresh record as they are.
        if !fresh.plan().is_plain() {
            return Ok(false);
        }
        let same_schema = before.schema.number() == fresh.schema.number();
        let mut read = (0..slot.info.fields()).filter(|index| slot.read_fields.contains(*index));
        Ok(read.all(|index| match same_schema {
            true => before.made_of(index) == fresh.made_of(index),
            false => before.as_is(index).is_some() && before.as_is(index) == fresh.as_is(index),
        }))
    }

    /// Whether the result is held back until it is durable.
    pub(super) fn waits_for_disk(&self) -> bool {
        self.state.borrow().waits_for_disk(self.fixed())
    }
}

/// An error of the engine that says nothing of an object, with the function's name.
pub(super) fn within_function(name: &str, error: Error) -> Error {
    if error.is_timeout() || error.is_indeterminate() { error.within(format!("`{name}`")) } else { error }
}

/// The error of an attempt that has changed nothing, and has read what the disk did not confirm in time.
pub(super) fn read_too_early(name: &str, error: Error) -> Error {
    if !error.is_timeout() {
        return error;
    }
    let message = format!("`{name}` has read what the disk did not confirm before the deadline; nothing was written");
    Error::with_source(ErrorKind::Timeout, message, error)
}

/// The error of a commit that was not made durable: it may be on disk all the same, and be found when the store is opened again. So
/// whoever repeats the transaction then must not be told that nothing was written.
pub(crate) fn commit_is_open(name: &str, error: Error) -> Error {
    let message = match error.kind() {
        ErrorKind::Indeterminate => return error,
        ErrorKind::Timeout => format!(
            "`{name}` has been committed, but the disk did not confirm it before the deadline; it is not known whether it survives \
             a crash"
        ),
        _ => format!(
            "`{name}` has been committed, but its changes could not be made durable ({error}); it is not known whether they are \
             found when the store is opened again"
        ),
    };
    Error::with_source(ErrorKind::Indeterminate, message, error)
}

/// Those of `fields` whose bytes in `change` are not what `base` has.
fn unequal_fields(
    slot: &Slot,
    base: &[u8],
    change: &Change,
    fields: FieldSet,
    engine: &dyn Engine,
    waiter: &Waiter<'_>,
) -> Result<FieldSet> {
    let record = slot.info.read(base, engine, waiter)?;
    let mut unequal = FieldSet::NONE;
    for index in (0..slot.info.fields()).filter(|index| fields.contains(*index)) {
        if record.as_is(index) != change.fields.field(index) {
            unequal |= FieldSet::of(index);
        }
    }
    Ok(unequal)
}
