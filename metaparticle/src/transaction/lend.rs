//! Giving objects into the body's hands, and taking them back.

use std::sync::Arc;

use super::attempt::{Attempt, Change, Current, Doom};
use crate::encoding::{Before, FieldReader, FieldSet, Source};
use crate::engine::RecordBytes;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::object::{Ref, Tracked};
use crate::persistent::Persistent;
use crate::planted::{Bug, planted};

impl Attempt {
    /// The object, for reading.
    pub(crate) fn share<T: Persistent>(&self, key: &ObjectKey<T>) -> Result<Ref<'_, T>> {
        let index = self.slot(key)?;
        let (lent, bytes) = {
            let slot = &mut self.state.borrow_mut().slots[index];
            slot.read_existence = true;
            slot.read_fields = FieldSet::ALL;
            // Decoded once for all transactions that read this state of it.
            let base = slot.base.as_ref().filter(|_| matches!(slot.current, Current::Base) && !slot.lent);
            let kept = T::sharing().and_then(|sharing| sharing.find(base?.bytes.object()?));
            if let Some(object) = kept {
                slot.readers += 1;
                return Ok(Ref::new(self, index, object));
            }
            let base = if planted(Bug::KeepRolledBack) { slot.base.as_ref() } else { base };
            (slot.lent, base.map(|record| record.bytes.clone()))
        };
        if lent {
            self.check_free(index, key, "read")?;
        }
        let object = Arc::new(self.decode(index, key)?);
        if let (Some(sharing), Some(bytes)) = (T::sharing(), bytes) {
            bytes.keep(sharing.keep(object.clone()));
        }
        self.hold(index);
        Ok(Ref::new(self, index, object))
    }

    /// The object, for reading and writing. It comes back when the handle is dropped.
    pub(crate) fn lend<T: Persistent>(&self, key: &ObjectKey<T>) -> Result<Tracked<'_, T>> {
        let index = self.slot(key)?;
        self.check_free(index, key, "changed")?;
        self.state.borrow_mut().slots[index].read_existence = true;
        if let Some((object, before)) = self.take_kept(index) {
            self.state.borrow_mut().slots[index].lent = true;
            return Ok(Tracked::new(self, index, object, true, Some(before)));
        }
        let (object, before) = self.decode_with_fields(index, key)?;
        self.state.borrow_mut().slots[index].lent = true;
        Ok(Tracked::new(self, index, Arc::new(object), false, before))
    }

    /// The object that was left with its record, and its fields as they are encoded there. Whoever takes it need not decode one.
    fn take_kept<T: Persistent>(&self, index: usize) -> Option<(Arc<T>, Before)> {
        let slot = &self.state.borrow().slots[index];
        let before = match (&slot.current, &slot.base) {
            (Current::Changed(change), _) => Before::Fields(change.fields.clone()),
            (Current::Base, Some(record)) => {
                let schema = slot.info.schema_of(&record.bytes).filter(|schema| schema.is_own())?;
                Before::Record(record.bytes.clone(), schema)
            }
            _ => return None,
        };
        Some((T::sharing()?.find(slot.bytes()?.take()?)?, before))
    }

    /// Decodes without holding the state: serde code of the user's runs in it.
    pub(super) fn decode<T: Persistent>(&self, index: usize, key: &ObjectKey<T>) -> Result<T> {
        self.decode_with_fields(index, key).map(|(object, _)| object)
    }

    /// The object, and its fields as they are encoded, if it would be encoded so. Otherwise only the object can tell: of equal ones,
    /// a `HashMap` in one does not come out in the order that it went in.
    fn decode_with_fields<T: Persistent>(&self, index: usize, key: &ObjectKey<T>) -> Result<(T, Option<Before>)> {
        let (info, base, current) = {
            let slot = &self.state.borrow().slots[index];
            (slot.info, slot.base.clone(), slot.current.clone())
        };
        let decoded = match (current, base) {
            (Current::Changed(change), _) => {
                let mut fields = FieldReader::new(T::FIELDS, Source::Encoded(&change.fields));
                let object = T::decode(&mut fields);
                let is_ordered = info.is_ordered(fields.not_plain());
                object.map(|object| (object, is_ordered.then_some(Before::Fields(change.fields))))
            }
            (Current::Base, Some(record)) => {
                let read = info.read(&record.bytes, self.store.engine(), &self.waiter());
                let decoded = read.and_then(|read| {
                    let mut fields = FieldReader::new(T::FIELDS, Source::Record(read.fields, read.plan()));
                    let object = T::decode(&mut fields)?;
                    let is_ordered = info.is_ordered(fields.not_plain());
                    Ok((object, Some(read.schema).filter(|schema| is_ordered && schema.is_own())))
                });
                decoded.map(|(object, schema)| (object, schema.map(|schema| Before::Record(record.bytes, schema))))
            }
            (Current::Removed, _) | (Current::Base, None) => {
                let none = || Error::new(ErrorKind::NotFound, format!("there is no {}", info.object(key.record_key())));
                return T::absent().map(|object| (object, None)).ok_or_else(none);
            }
        };
        decoded.map_err(|error| error.within(info.object(key.record_key())))
    }

    /// Takes an object back.
    pub(crate) fn take_back<T: Persistent>(&self, index: usize, object: Arc<T>, tracked: Taken) {
        let mut compared_with = None;
        let encoded = (tracked.is_changed && !tracked.interrupted).then(|| {
            let before = tracked.before.unwrap_or(Before::Nothing);
            compared_with = before.schema();
            // What is written otherwise and was not touched is equal all the same.
            let touched = tracked.read | tracked.assigned;
            Self::encode(&*object, before).map(|(fields, changed)| (fields, changed & touched))
        });
        let mut state = self.state.borrow_mut();
        let slot = &mut state.slots[index];
        slot.lent = false;
        slot.read_fields |= tracked.read;
        let info = slot.info;
        match encoded {
            Some(Ok((fields, changed))) if !(changed | tracked.assigned).is_empty() => {
                let (changed, assigned, whole) = match &slot.current {
                    Current::Changed(other) => (changed | other.changed, tracked.assigned | other.assigned, other.whole),
                    // An absent object is only stored once it is changed; one that was removed is absent, too.
                    current if changed.is_empty() && (slot.base.is_none() || matches!(current, Current::Removed)) => return,
                    Current::Removed => (FieldSet::ALL, FieldSet::ALL, true),
                    Current::Base => (changed, tracked.assigned, false),
                };
                if fields.is_whole::<T>() {
                    leave(object, if planted(Bug::LeaveBefore) { slot.bytes() } else { Some(fields.bytes()) });
                }
                let change = Change { fields, changed, assigned, whole, compared_with };
                state.set_current(index, Current::Changed(change));
            }
            Some(Err(error)) => {
                let name = info.object(&state.seen.records[index].0);
                if state.doom.is_none() {
                    state.unstorable = state.nesting;
                    state.doom = Some(Box::new(Doom::Failed(error.within(name))));
                }
            }
            // As it was.
            Some(Ok((fields, _))) if fields.is_whole::<T>() => leave(object, slot.bytes()),
            None if tracked.interrupted => {
                let name = info.object(&state.seen.records[index].0);
                state.interrupt(name);
            }
            None if tracked.was_kept => leave(object, slot.bytes()),
            Some(Ok(_)) | None => {}
        }
    }
}

/// Leaves an object with its bytes, to whoever changes it next.
fn leave<T: Persistent>(object: Arc<T>, bytes: Option<&RecordBytes>) {
    if let (Some(sharing), Some(bytes)) = (T::sharing(), bytes) {
        bytes.leave(sharing.keep(object));
    }
}

/// What a handle knows when it comes back.
pub(crate) struct Taken {
    /// Whether it may have been changed.
    pub(crate) is_changed: bool,
    /// Whether it was in its record, and not decoded.
    pub(crate) was_kept: bool,
    /// The fields before the first change.
    pub(crate) before: Option<Before>,
    pub(crate) read: FieldSet,
    pub(crate) assigned: FieldSet,
    /// Whether a panic may have cut a change short.
    pub(crate) interrupted: bool,
}
