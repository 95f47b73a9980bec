//! One run of a body: what it has seen, what it wants to change, and what to undo if a nested function fails.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use super::commit::Writes;
use super::conflict::{Conflict, Fresh};
use super::fixed::Fixed;
use super::group::Gate;
use super::hot_keys::{AtOnce, HotList, Turn};
use super::keys::Keys;
use super::log::{Call, Log, suspended};
use super::places::Places;
use super::wait::waiting;
use crate::durability::Durability;
use crate::encoding::{Before, Encoded, FieldSet, FieldWriter};
use crate::engine::{Differs, Record, RecordBytes, RecordKey, Seen, Stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ObjectKey, UntypedKey};
use crate::persistent::Persistent;
use crate::schema::{AnyType, Schema, TypeInfo};
use crate::store::{Store, Waiter};

/// One run of a body.
pub(crate) struct Attempt {
    /// Its thread's: all threads would wait for each other to count one that they share.
    pub(super) store: Rc<Store>,
    fixed: Fixed,
    /// The time of day, once it was asked for.
    now: Cell<Option<SystemTime>>,
    number: u32,
    pub(super) state: RefCell<Box<State>>,
    /// What was answered so far, for an attempt in a future.
    log: Option<Box<Log>>,
}

#[derive(Default)]
pub(super) struct State {
    /// The objects that were asked for; each has the same index in `seen.records`.
    pub(super) slots: Vec<Slot>,
    pub(super) places: Places,
    pub(super) seen: Seen,
    /// Results may be given away once this is durable.
    pub(super) durable_at: Stamp,
    /// Nor before this is committed.
    pub(super) gate: Option<Gate>,
    /// What the first object that is read is known to be.
    pub(super) fresh: Option<Box<Fresh>>,
    /// Set once the attempt cannot be committed any more, whatever its body returns.
    pub(super) doom: Option<Box<Doom>>,
    /// How deeply nested the function was that has left what cannot be stored, if that is the doom.
    pub(super) unstorable: usize,
    /// What to put back if a nested function fails.
    pub(super) undo: Vec<Undo>,
    /// The nested function that is running, by number; 0: none.
    pub(super) frame: u32,
    /// The number of the last one that was begun.
    pub(super) frames: u32,
    /// Whether anything was changed that no nested function undoes any more.
    pub(super) has_changed: bool,
    pub(super) effects: Vec<Effect>,
    pub(super) random: fastrand::Rng,
    /// How many functions are nested in the outermost one.
    pub(super) nesting: usize,
    /// The nesting at which a panic cut short a change of an object.
    pub(super) interrupted: Option<Box<(usize, String)>>,
    /// The queues that this attempt is at the head of.
    pub(super) turn: Option<Turn>,
    /// Empty, but for their room.
    pub(super) room_for_keys: Keys,
    pub(super) room_for_writes: Writes,
}

pub(super) type Effect = Box<dyn FnOnce() + Send>;

/// Why an attempt cannot be committed.
#[derive(Clone, Debug)]
pub(super) enum Doom {
    /// Something that it has seen is no longer current.
    Conflict(Conflict),
    Failed(Error),
    /// Its body waits for a condition.
    Waits,
}

/// An attempt whose body has ended; it can go to another thread.
pub(super) struct Ended {
    store: Store,
    fixed: Fixed,
    number: u32,
    pub(super) state: Box<State>,
    pub(super) log: Log,
}

/// An object before its first change in a nested function.
pub(super) struct Undo {
    pub(super) index: usize,
    pub(super) before: Current,
    /// As the slot's, before.
    pub(super) changed_in: u32,
}

/// An object in an attempt.
pub(super) struct Slot {
    pub(super) info: &'static TypeInfo,
    /// What the engine has.
    pub(super) base: Option<Record>,
    /// What it shall be.
    pub(super) current: Current,
    pub(super) read_fields: FieldSet,
    /// The innermost function, of those that are running, that has changed it: what it was before that is known.
    pub(super) changed_in: u32,
    /// Whether the body knows if the object exists.
    pub(super) read_existence: bool,
    /// Whether a handle for writing is out.
    pub(super) lent: bool,
    /// How many handles for reading are out.
    pub(super) readers: u32,
}

#[derive(Clone)]
pub(super) enum Current {
    /// As in the engine.
    Base,
    Removed,
    Changed(Change),
}

#[derive(Clone)]
pub(super) struct Change {
    pub(super) fields: Encoded,
    /// Fields whose bytes are other than before.
    pub(super) changed: FieldSet,
    /// Fields that were given a value without being read, changed or not.
    pub(super) assigned: FieldSet,
    /// Whether this replaces the record with all its fields, those unknown to this program too.
    pub(super) whole: bool,
    /// The schema of the engine's record, if `changed` are surely the fields that are other there.
    pub(super) compared_with: Option<&'static Schema>,
}

impl Slot {
    pub(super) fn exists(&self) -> bool {
        match self.current {
            Current::Base => self.base.is_some(),
            Current::Removed => false,
            Current::Changed(_) => true,
        }
    }

    /// The object's bytes as they are for now.
    pub(super) fn bytes(&self) -> Option<&RecordBytes> {
        match &self.current {
            Current::Base => self.base.as_ref().map(|record| &record.bytes),
            Current::Removed => None,
            Current::Changed(change) => Some(change.fields.bytes()),
        }
    }
}

impl Ended {
    /// What is to be done now that it has been committed.
    pub(super) fn into_effects(mut self) -> Vec<Effect> {
        let effects = self.state.take_effects();
        self.state.leave();
        effects
    }
}

impl Attempt {
    pub(super) fn new(store: Rc<Store>, fixed: &Fixed, number: u32, turn: Option<Turn>, log: Option<Box<Log>>) -> Rc<Self> {
        let mut state = State::spare();
        state.random = fastrand::Rng::with_seed(fixed.seed);
        state.turn = turn;
        Rc::new(Self { store, fixed: *fixed, now: Cell::new(fixed.now), number, state: RefCell::new(state), log })
    }

    /// It has ended, and nobody needs it any more.
    pub(super) fn leave(self: Rc<Self>) {
        if let Some(attempt) = Rc::into_inner(self) {
            attempt.state.into_inner().leave();
        }
    }

    /// A handle for reading is out.
    pub(crate) fn hold(&self, index: usize) {
        self.state.borrow_mut().slots[index].readers += 1;
    }

    /// A handle for reading is back.
    pub(crate) fn let_go(&self, index: usize) {
        self.state.borrow_mut().slots[index].readers -= 1;
    }

    /// What is left when the body has ended.
    pub(super) fn end(self) -> Ended {
        Ended {
            store: Rc::unwrap_or_clone(self.store),
            fixed: self.fixed,
            number: self.number,
            state: self.state.into_inner(),
            log: *self.log.unwrap_or_default(),
        }
    }

    /// Puts together again what `end` gave.
    pub(super) fn resume(ended: Ended) -> Self {
        let Ended { store, fixed, number, state, log } = ended;
        let (store, now, state) = (Rc::new(store), Cell::new(fixed.now), RefCell::new(state));
        Self { store, fixed, now, number, state, log: Some(Box::new(log)) }
    }

    pub(super) fn log(&self) -> Option<&Log> {
        self.log.as_deref()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn fixed(&self) -> &Fixed {
        &self.fixed
    }

    /// The time of day at which the transaction began.
    pub(crate) fn now(&self) -> SystemTime {
        let now = self.now.get().unwrap_or_else(|| self.fixed.now(self.store.clock()));
        self.now.set(Some(now));
        now
    }

    /// The same, if it was asked for.
    pub(super) fn asked_now(&self) -> Option<SystemTime> {
        self.now.get()
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn random(&self) -> u64 {
        self.state.borrow_mut().random.u64(..)
    }

    pub(crate) fn after_commit(&self, effect: Effect) {
        self.state.borrow_mut().effects.push(effect);
    }

    pub(super) fn take_effects(&self) -> Vec<Effect> {
        self.state.borrow_mut().take_effects()
    }

    pub(super) fn waiter(&self) -> Waiter<'_> {
        self.store.waiter(self.fixed.deadline).with_log(self.log())
    }

    /// The name of the object in a slot.
    pub(super) fn object(&self, index: usize) -> String {
        let state = self.state.borrow();
        state.slots[index].info.object(&state.seen.records[index].0)
    }

    pub(crate) fn info<T: Persistent>(&self) -> Result<&'static TypeInfo> {
        self.info_of(AnyType::of::<T>())
    }

    fn info_of(&self, of: AnyType) -> Result<&'static TypeInfo> {
        self.store.types().get(of, self.store.engine(), || self.waiter())
    }

    /// The index of the object's slot, loaded if need be.
    pub(super) fn slot(&self, key: &UntypedKey) -> Result<usize> {
        self.check()?;
        if let Some(index) = self.state.borrow().index_of(key.record_key()) {
            return Ok(index);
        }
        self.load(self.only(key)?)?;
        Ok(self.state.borrow().slots.len() - 1)
    }

    /// For keys that are to be loaded.
    pub(crate) fn room_for_keys(&self) -> Keys {
        std::mem::take(&mut self.state.borrow_mut().room_for_keys)
    }

    fn only(&self, key: &UntypedKey) -> Result<Keys> {
        let mut keys = self.room_for_keys();
        keys.push(key.info(self)?, key.record_key());
        Ok(keys)
    }

    /// Loads the object of a function's parameter, if it is the first. Others are loaded together, or when they are needed.
    pub(crate) fn load_parameter(&self, key: &UntypedKey) -> Result<()> {
        if self.state.borrow().slots.is_empty() { self.load_parameters(self.only(key)?) } else { Ok(()) }
    }

    /// Loads the objects of a function's parameters, in one step. Those of the outermost one are loaded when the attempt has just begun.
    pub(crate) fn load_parameters(&self, keys: Keys) -> Result<()> {
        if self.state.borrow().nesting == 0 { self.load_at_start(keys) } else { self.load(keys) }
    }

    /// Loads all objects that the attempt does not have yet, in one step.
    pub(crate) fn load(&self, keys: Keys) -> Result<()> {
        self.check_in_time()?;
        self.load_at_start(keys)
    }

    /// Before the engine is asked for more: whether the attempt can still come to something.
    pub(super) fn check_in_time(&self) -> Result<()> {
        self.check()?;
        self.check_deadline().inspect_err(|error| self.doom(Doom::Failed(error.clone())))
    }

    /// As [`load`](Self::load), when the attempt has just begun, so that nobody need look at the clock.
    fn load_at_start(&self, mut missing: Keys) -> Result<()> {
        self.check()?;
        {
            let state = self.state.borrow();
            if !state.slots.is_empty() {
                missing.remove(|key| state.index_of(key).is_some());
            }
        }
        if missing.keys().is_empty() {
            return Ok(());
        }
        self.check_key_sizes(&missing)?;
        let read = missing.keys();
        let reply = match &self.log {
            Some(log) => {
                let reply = match log.is_empty() && !self.insisted_on(read).is_empty() {
                    // The future queues, and then reads.
                    true => Err(log.suspend(Call::Read(read.to_vec()))),
                    false => log.read(&self.store, read),
                };
                self.state.borrow_mut().gate = log.gate();
                reply
            }
            None => {
                self.queue_where_others_insist(read);
                self.read_from_group(read).map_or_else(
                    || {
                        // Where others already queue, a first attempt would only get in their way.
                        self.queue_where_others_do(read);
                        self.read_now(read)
                    },
                    Ok,
                )
            }
        };
        let reply = reply.map_err(|error| self.engine_error(error, &missing))?;
        self.check_differs(&reply.differs)?;
        let mut state = self.state.borrow_mut();
        for ((info, key), record) in missing.drain().zip(reply.read) {
            state.add(info, key, record);
        }
        state.room_for_keys = missing;
        state.seen.stamp = reply.stamp;
        state.durable_at = state.durable_at.max(reply.durable_at);
        Ok(())
    }

    /// Whether the attempt can still come to something.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.log().is_some_and(Log::is_pending) {
            return Err(suspended());
        }
        match self.state.borrow().doom.as_deref() {
            None => Ok(()),
            Some(Doom::Conflict(conflict)) => Err(conflict.error()),
            Some(Doom::Failed(error)) => Err(error.clone()),
            Some(Doom::Waits) => Err(waiting()),
        }
    }

    /// Makes sure that a conflict ends the attempt even if the body swallows the error.
    pub(super) fn check_differs(&self, differs: &Differs) -> Result<()> {
        if differs.is_empty() {
            return Ok(());
        }
        let conflict = self.conflict(differs);
        let error = conflict.error();
        self.doom(Doom::Conflict(conflict));
        Err(error)
    }

    pub(super) fn conflict(&self, differs: &Differs) -> Conflict {
        let state = self.state.borrow();
        let keys: Vec<RecordKey> = differs.records.iter().map(|(key, _)| key.clone()).collect();
        let mut objects: Vec<String> =
            keys.iter().filter_map(|key| Some(state.slots[state.index_of(key)?].info.object(key))).collect();
        if !differs.ranges.is_empty() {
            objects.push("the objects in a range of keys".to_owned());
        }
        Conflict { keys, objects, at_once: false, fresh: None }
    }

    pub(super) fn doom(&self, doom: Doom) {
        self.state.borrow_mut().doom.get_or_insert_with(|| Box::new(doom));
    }

    /// An error of the engine while loading. Those that say nothing about an object end the attempt.
    pub(super) fn engine_error(&self, error: Error, loading: &Keys) -> Error {
        if error.is_corrupt() {
            let objects: Vec<String> = loading.iter().map(|(info, key)| info.object(key)).collect();
            return error.within(objects.join(" or "));
        }
        let error = if error.is_timeout() { error.within(format!("`{}`", self.fixed.name)) } else { error };
        self.doom(Doom::Failed(error.clone()));
        error
    }

    fn check_key_sizes(&self, keys: &Keys) -> Result<()> {
        let limit = self.store.engine().limits().key_bytes;
        match keys.iter().find(|(_, key)| key.len() > limit) {
            None => Ok(()),
            Some((info, key)) => {
                let object = info.object(key);
                let shown: String = object.chars().take(60).collect();
                let message =
                    format!("the key of {shown}… takes {} bytes; {} keeps keys of up to {limit}", key.len(), self.store.url());
                Err(Error::new(ErrorKind::Limit, message))
            }
        }
    }

    /// Those of `keys` that are so, if they are what is read first, and without a turn.
    fn first_of(&self, keys: &[RecordKey], is_so: impl Fn(&RecordKey) -> bool) -> HotList {
        let is_first = self.is_at_start();
        keys.iter().filter(|key| is_first && is_so(key)).cloned().collect()
    }

    /// Whether nothing is read yet, and there is no turn.
    fn is_at_start(&self) -> bool {
        let state = self.state.borrow();
        state.slots.is_empty() && state.turn.is_none()
    }

    fn queue_where_others_insist(&self, keys: &[RecordKey]) {
        if self.store.hot_keys().are_insisted_on() {
            self.queue_for(self.insisted_on(keys));
        }
    }

    /// Those of `keys` that somebody has lost on again and again, and will once more if this attempt goes on.
    fn insisted_on(&self, keys: &[RecordKey]) -> HotList {
        self.first_of(keys, |key| self.store.hot_keys().is_insisted_on(key))
    }

    fn queue_for(&self, keys: HotList) {
        if !keys.is_empty() {
            self.state.borrow_mut().turn = self.store.hot_keys().acquire(keys, false, self.fixed.patience(self.store.clock()));
        }
    }

    fn queue_where_others_do(&self, keys: &[RecordKey]) {
        let queues = self.store.hot_keys();
        if queues.are_empty() {
            return;
        }
        let [key] = keys else { return self.queue_for(self.first_of(keys, |key| queues.is_hot(key))) };
        if !self.is_at_start() {
            return;
        }
        match queues.at_once(key) {
            AtOnce::NotHot => {}
            AtOnce::Mine(turn) => self.state.borrow_mut().turn = Some(turn),
            AtOnce::Taken => self.queue_for(std::iter::once(key.clone()).collect()),
        }
    }

    /// Encodes without holding the state: serde code of the user's runs in it.
    pub(crate) fn encode<T: Persistent>(object: &T, before: Before) -> Result<(Encoded, FieldSet)> {
        let mut writer = FieldWriter::new(T::FIELDS, before);
        object.encode(&mut writer)?;
        Ok(writer.finish())
    }

    pub(crate) fn insert<T: Persistent>(&self, key: &ObjectKey<T>, object: &T) -> Result<()> {
        let index = self.slot(key.untyped())?;
        self.check_free(index, "replaced")?;
        let (fields, _) = Self::encode(object, Before::Nothing).map_err(|error| error.within(self.object(index)))?;
        self.replace(index, fields)
    }

    /// Puts an object with these fields in the place of the one that is there, if one is.
    fn replace(&self, index: usize, fields: Encoded) -> Result<()> {
        let all = FieldSet::ALL;
        // In place of a record, fields that only a newer program knows stay; after a removal, nothing does.
        let whole = match &self.state.borrow().slots[index] {
            Slot { current: Current::Removed, .. } => true,
            Slot { current: Current::Changed(change), .. } => change.whole,
            Slot { current: Current::Base, base, info, .. } => {
                if let Some(record) = base {
                    // What cannot be read is not overwritten. It can be removed.
                    let read = info.read(&record.bytes, self.store.engine(), &self.waiter());
                    read.map_err(|error| error.within(self.object(index)))?;
                }
                false
            }
        };
        let change = Change { fields, changed: all, assigned: all, whole, compared_with: None };
        let before = self.state.borrow_mut().set_current(index, Current::Changed(change));
        drop(before);
        Ok(())
    }

    pub(crate) fn remove(&self, key: &UntypedKey) -> Result<bool> {
        let index = self.slot(key)?;
        self.check_free(index, "removed")?;
        let mut state = self.state.borrow_mut();
        let slot = &mut state.slots[index];
        slot.read_existence = true;
        let existed = slot.exists();
        let current = if slot.base.is_some() { Current::Removed } else { Current::Base };
        if existed {
            let before = state.set_current(index, current);
            drop(state);
            drop(before);
        }
        Ok(existed)
    }

    pub(crate) fn contains(&self, key: &UntypedKey) -> Result<bool> {
        let index = self.slot(key)?;
        let slot = &mut self.state.borrow_mut().slots[index];
        slot.read_existence = true;
        Ok(slot.exists())
    }

    /// That nobody has the object in hand.
    pub(super) fn check_free(&self, index: usize, verb: &str) -> Result<()> {
        let (lent, shared) = {
            let slot = &self.state.borrow().slots[index];
            (slot.lent, slot.readers > 0)
        };
        if !lent && !shared {
            return Ok(());
        }
        Err(self.in_hand(index, verb, if lent { "writing" } else { "reading" }))
    }

    pub(super) fn in_hand(&self, index: usize, verb: &str, how: &str) -> Error {
        let message = format!(
            "{} cannot be {verb} while this transaction has it in hand for {how}: the same key was passed twice, or a handle \
             is still alive",
            self.object(index)
        );
        Error::new(ErrorKind::Borrowed, message)
    }
}

impl State {
    pub(super) fn add(&mut self, info: &'static TypeInfo, key: RecordKey, record: Option<Record>) -> usize {
        let index = self.slots.len();
        self.seen.records.push((key, record.as_ref().map(|record| record.version)));
        self.places.add(&self.seen.records);
        self.slots.push(Slot {
            info,
            base: record,
            current: Current::Base,
            changed_in: 0,
            read_fields: FieldSet::NONE,
            read_existence: false,
            lent: false,
            readers: 0,
        });
        index
    }

    #[inline]
    pub(super) fn index_of(&self, key: &RecordKey) -> Option<usize> {
        self.places.get(&self.seen.records, key)
    }

    /// What it was before, unless that is to be put back if a nested function fails. It may be the last that has an object of the user's,
    /// which may run a transaction as it goes: it is dropped without the state.
    #[must_use]
    pub(super) fn set_current(&mut self, index: usize, current: Current) -> Option<Current> {
        let slot = &mut self.slots[index];
        let before = std::mem::replace(&mut slot.current, current);
        if self.frame == 0 {
            self.has_changed = true;
        } else if slot.changed_in != self.frame {
            let changed_in = std::mem::replace(&mut slot.changed_in, self.frame);
            self.undo.push(Undo { index, before, changed_in });
            return None;
        }
        Some(before)
    }

    /// Whether nothing was ever changed, or all of it is undone.
    pub(super) fn has_changed_nothing(&self) -> bool {
        !self.has_changed && self.undo.is_empty()
    }

    pub(super) fn interrupt(&mut self, object: String) {
        // The first one stays: no later one is further out, as a nested function that ends takes it along.
        self.interrupted.get_or_insert_with(|| Box::new((self.nesting, object)));
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the result is held back until it is durable.
    pub(super) fn waits_for_disk(&self, fixed: &Fixed) -> bool {
        fixed.durability == Durability::Immediate || !self.effects.is_empty()
    }
}
