//! Giving objects into the body's hands, and taking them back.

use std::sync::Arc;

use super::attempt::{Attempt, Change, Current, Doom};
use crate::encoding::{Before, Encoded, FieldReader, FieldSet, Source};
use crate::engine::RecordBytes;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ObjectKey, UntypedKey};
use crate::object::{Ref, Tracked};
use crate::persistent::{Field, Persistent};
use crate::planted::{Bug, planted};
use crate::schema::Schema;
use crate::sharing::{AnyObject, Sharing};

// What a type needs is as little as can be: it is compiled for each.
impl Attempt {
    /// The object, for reading.
    pub(crate) fn share<T: Persistent>(&self, key: &ObjectKey<T>) -> Result<Ref<'_, T>> {
        let sharing = T::sharing();
        let (index, kept) = self.begin_sharing(key.untyped(), sharing.is_some())?;
        let kept = kept.zip(sharing.as_ref()).and_then(|(kept, sharing)| sharing.find(kept));
        let object = match kept {
            Some(object) => object,
            None => self.decode_to_share(index, sharing)?,
        };
        self.hold(index);
        Ok(Ref::new(self, index, object))
    }

    /// The object's slot, and the object, if another transaction has decoded this state of it.
    fn begin_sharing(&self, key: &UntypedKey, can_be_kept: bool) -> Result<(usize, Option<AnyObject>)> {
        let index = self.slot(key)?;
        let mut state = self.state.borrow_mut();
        let slot = &mut state.slots[index];
        slot.read_existence = true;
        slot.read_fields = FieldSet::ALL;
        if slot.lent {
            drop(state);
            return Err(self.in_hand(index, "read", "writing"));
        }
        let base = slot.base.as_ref().filter(|_| can_be_kept && matches!(slot.current, Current::Base));
        Ok((index, base.and_then(|record| record.bytes.object())))
    }

    fn decode_to_share<T: Persistent>(&self, index: usize, sharing: Option<Sharing<T>>) -> Result<Arc<T>> {
        let bytes = self.bytes_to_keep_with(index);
        let object = Arc::new(self.decode::<T>(index)?);
        if let (Some(sharing), Some(bytes)) = (sharing, bytes) {
            bytes.keep(sharing.keep(object.clone()));
        }
        Ok(object)
    }

    /// Those that an object which was decoded is kept with.
    fn bytes_to_keep_with(&self, index: usize) -> Option<RecordBytes> {
        let slot = &self.state.borrow().slots[index];
        let is_base = matches!(slot.current, Current::Base) || planted(Bug::KeepRolledBack);
        slot.base.as_ref().filter(|_| is_base).map(|record| record.bytes.clone())
    }

    /// The object, for reading and writing. It comes back when the handle is dropped.
    pub(crate) fn lend<T: Persistent>(&self, key: &ObjectKey<T>) -> Result<Tracked<'_, T>> {
        let index = self.begin_lending(key.untyped())?;
        let (object, was_kept, before) = match self.take_kept(index) {
            Some((object, before)) => (object, true, Some(before)),
            None => {
                let (object, before) = self.decode_with_fields(index)?;
                (Arc::new(object), false, before)
            }
        };
        self.set_lent(index);
        Ok(Tracked::new(self, index, object, was_kept, before))
    }

    fn begin_lending(&self, key: &UntypedKey) -> Result<usize> {
        let index = self.slot(key)?;
        self.check_free(index, "changed")?;
        self.state.borrow_mut().slots[index].read_existence = true;
        Ok(index)
    }

    fn set_lent(&self, index: usize) {
        self.state.borrow_mut().slots[index].lent = true;
    }

    /// The object that was left with its record, and its fields as they are encoded there. Whoever takes it need not decode one.
    fn take_kept<T: Persistent>(&self, index: usize) -> Option<(Arc<T>, Before)> {
        let sharing = T::sharing()?;
        let (kept, before) = self.take_any_kept(index)?;
        Some((sharing.find(kept)?, before))
    }

    fn take_any_kept(&self, index: usize) -> Option<(AnyObject, Before)> {
        let slot = &self.state.borrow().slots[index];
        let before = match (&slot.current, &slot.base) {
            (Current::Changed(change), _) => Before::Fields(change.fields.clone()),
            (Current::Base, Some(record)) => {
                let schema = slot.info.schema_of(&record.bytes).filter(|schema| schema.is_own())?;
                Before::Record(record.bytes.clone(), schema)
            }
            _ => return None,
        };
        Some((slot.bytes()?.take()?, before))
    }

    /// Decodes without holding the state: serde code of the user's runs in it.
    pub(super) fn decode<T: Persistent>(&self, index: usize) -> Result<T> {
        self.decode_with_fields(index).map(|(object, _)| object)
    }

    /// The object, and its fields as they are encoded, if it would be encoded so. Otherwise only the object can tell: of equal ones,
    /// a `HashMap` in one does not come out in the order that it went in.
    fn decode_with_fields<T: Persistent>(&self, index: usize) -> Result<(T, Option<Before>)> {
        let mut object = None;
        let before = self.decode_fields(index, T::FIELDS, &mut |fields| {
            object = Some(T::decode(fields)?);
            Ok(())
        })?;
        // Nothing was decoded where there is nothing.
        let object = object.or_else(T::absent).ok_or_else(|| self.not_found(index))?;
        Ok((object, before))
    }

    /// Has `decode` read the fields of the object, if there is one.
    fn decode_fields(
        &self,
        index: usize,
        known: &'static [Field],
        decode: &mut dyn FnMut(&mut FieldReader<'_>) -> Result<()>,
    ) -> Result<Option<Before>> {
        let (info, base, current) = {
            let slot = &self.state.borrow().slots[index];
            (slot.info, slot.base.clone(), slot.current.clone())
        };
        let decoded = match (current, base) {
            (Current::Changed(change), _) => {
                let mut fields = FieldReader::new(known, Source::Encoded(&change.fields));
                let decoded = decode(&mut fields);
                let is_ordered = info.is_ordered(fields.not_plain());
                decoded.map(|()| is_ordered.then_some(Before::Fields(change.fields)))
            }
            (Current::Base, Some(record)) => {
                let read = info.read(&record.bytes, self.store.engine(), &self.waiter());
                let decoded = read.and_then(|read| {
                    let mut fields = FieldReader::new(known, Source::Record(read.fields, read.plan()));
                    decode(&mut fields)?;
                    let is_ordered = info.is_ordered(fields.not_plain());
                    Ok(Some(read.schema).filter(|schema| is_ordered && schema.is_own()))
                });
                decoded.map(|schema| schema.map(|schema| Before::Record(record.bytes, schema)))
            }
            (Current::Removed, _) | (Current::Base, None) => return Ok(None),
        };
        decoded.map_err(|error| error.within(self.object(index)))
    }

    fn not_found(&self, index: usize) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no {}", self.object(index)))
    }

    /// Takes an object back.
    pub(crate) fn take_back<T: Persistent>(&self, index: usize, object: Arc<T>, mut tracked: Taken) {
        let mut compared_with = None;
        let encoded = (tracked.is_changed && !tracked.interrupted).then(|| {
            let before = tracked.before.take().unwrap_or(Before::Nothing);
            compared_with = before.schema();
            Self::encode(&*object, before)
        });
        // One that cannot be shared is dropped at the end, when the state is not held.
        let (object, _unshared) = match T::sharing() {
            Some(sharing) => (Some(sharing.keep(object)), None),
            None => (None, Some(object)),
        };
        let back = Back { object, size: size_of::<T>(), encoded, compared_with };
        self.take_any_back(index, back, &tracked);
    }

    fn take_any_back(&self, index: usize, back: Back, tracked: &Taken) {
        let Back { object, size, encoded, compared_with } = back;
        let mut state = self.state.borrow_mut();
        let slot = &mut state.slots[index];
        slot.lent = false;
        slot.read_fields |= tracked.read;
        let info = slot.info;
        // What is written otherwise and was not touched is equal all the same.
        let touched = tracked.read | tracked.assigned;
        match encoded {
            Some(Ok((fields, changed))) if !(changed & touched | tracked.assigned).is_empty() => {
                let changed = changed & touched;
                let (changed, assigned, whole) = match &slot.current {
                    Current::Changed(other) => (changed | other.changed, tracked.assigned | other.assigned, other.whole),
                    // An absent object is only stored once it is changed; one that was removed is absent, too.
                    current if changed.is_empty() && (slot.base.is_none() || matches!(current, Current::Removed)) => return,
                    Current::Removed => (FieldSet::ALL, FieldSet::ALL, true),
                    Current::Base => (changed, tracked.assigned, false),
                };
                if fields.is_whole(size) {
                    leave(object, if planted(Bug::LeaveBefore) { slot.bytes() } else { Some(fields.bytes()) });
                }
                let change = Change { fields, changed, assigned, whole, compared_with };
                let before = state.set_current(index, Current::Changed(change));
                drop(state);
                drop(before);
            }
            Some(Err(error)) => {
                let name = info.object(&state.seen.records[index].0);
                if state.doom.is_none() {
                    state.unstorable = state.nesting;
                    state.doom = Some(Box::new(Doom::Failed(error.within(name))));
                }
            }
            // As it was.
            Some(Ok((fields, _))) if fields.is_whole(size) => leave(object, slot.bytes()),
            None if tracked.interrupted => {
                let name = info.object(&state.seen.records[index].0);
                state.interrupt(name);
            }
            None if tracked.was_kept => leave(object, slot.bytes()),
            Some(Ok(_)) | None => {}
        }
    }
}

/// An object that has come back.
struct Back {
    /// It, if threads can share it.
    object: Option<AnyObject>,
    /// What it takes without what it points to.
    size: usize,
    /// Its fields, and which of them are other than before, if it may have been changed.
    encoded: Option<Result<(Encoded, FieldSet)>>,
    /// The schema of what they were compared with.
    compared_with: Option<&'static Schema>,
}

/// Leaves an object with its bytes, to whoever changes it next.
fn leave(object: Option<AnyObject>, bytes: Option<&RecordBytes>) {
    if let (Some(object), Some(bytes)) = (object, bytes) {
        bytes.leave(object);
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
