//! Objects in a range of keys, read a page at a time.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use super::Tx;
use super::attempt::{Attempt, Current, Doom};
use super::keys::Keys as KeysToLoad;
use crate::engine::{KeyRange, Record, RecordKey, SeenRange};
use crate::error::Result;
use crate::key::{ObjectKey, found_key};
use crate::object::Ref;
use crate::persistent::Persistent;
use crate::schema::TypeInfo;
use crate::sync::limit;

/// How many records are asked of the engine at once.
const PAGE: usize = limit(256, 2);

/// The keys in a range; see [`Tx::keys`].
pub struct Keys<'tx, T> {
    pages: Pages<'tx, T>,
}

/// The objects in a range; see [`Tx::range`].
pub struct Range<'tx, T> {
    pages: Pages<'tx, T>,
    tx: &'tx Tx,
}

/// What is common to both.
struct Pages<'tx, T> {
    attempt: &'tx Attempt,
    /// What is still to be read.
    rest: KeyRange,
    found: VecDeque<RecordKey>,
    /// Whether the objects count as read, and not only their keys.
    with_objects: bool,
    object: PhantomData<fn() -> T>,
}

impl<'tx, T: Persistent> Keys<'tx, T> {
    pub(super) fn new(tx: &'tx Tx, range: KeyRange) -> Self {
        Self { pages: Pages::new(tx, range, false) }
    }
}

impl<'tx, T: Persistent> Range<'tx, T> {
    pub(super) fn new(tx: &'tx Tx, range: KeyRange) -> Self {
        Self { pages: Pages::new(tx, range, true), tx }
    }
}

impl<T: Persistent> Iterator for Keys<'_, T> {
    type Item = Result<T::Key>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pages.next_key().transpose()
    }
}

impl<'tx, T: Persistent> Iterator for Range<'tx, T> {
    type Item = Result<(T::Key, Ref<'tx, T>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = match self.pages.next_key().transpose()? {
            Ok(key) => key,
            Err(error) => return Some(Err(error)),
        };
        Some(self.tx.load_ref(&ObjectKey::<T>::new(key.clone())).map(|object| (key, object)))
    }
}

impl<'tx, T: Persistent> Pages<'tx, T> {
    fn new(tx: &'tx Tx, rest: KeyRange, with_objects: bool) -> Self {
        Self { attempt: tx.attempt_state(), rest, found: VecDeque::new(), with_objects, object: PhantomData }
    }

    fn next_key(&mut self) -> Result<Option<T::Key>> {
        loop {
            // The body may have removed it since its page was read.
            while let Some(found) = self.found.pop_front() {
                if self.attempt.exists(&found) {
                    return found_key::<T>(&found).map(Some);
                }
            }
            // A page may have nothing for us: its objects may have been removed by this transaction.
            if self.rest.start >= self.rest.end {
                return Ok(None);
            }
            let page = self.attempt.scan::<T>(&self.rest, self.with_objects);
            let (keys, read) = page.inspect_err(|_| self.rest.start = self.rest.end.clone())?;
            self.found = keys;
            self.rest.start = read.end;
        }
    }
}

impl Attempt {
    /// Whether the object, which was found in a range, is there for this transaction.
    fn exists(&self, key: &RecordKey) -> bool {
        let state = self.state.borrow();
        state.index_of(key).is_none_or(|index| state.slots[index].exists())
    }

    /// The keys of a page of `range`, as this transaction sees it, and the part of `range` that the page is all of.
    pub(super) fn scan<T: Persistent>(&self, range: &KeyRange, with_objects: bool) -> Result<(VecDeque<RecordKey>, KeyRange)> {
        self.check_in_time()?;
        let info = self.info::<T>()?;
        let engine = self.store.engine();
        let page = match self.log() {
            Some(log) => log.scan(engine, range, PAGE, with_objects),
            None => {
                let settled = self.settle_gate().inspect_err(|error| self.doom(Doom::Failed(error.clone())));
                if let Some(conflict) = settled? {
                    self.check_differs(&conflict.differs())?;
                }
                let state = self.state.borrow();
                self.waiter().wait(engine.scan(&state.seen, range, PAGE))
            }
        };
        let page = page.map_err(|error| match error.is_corrupt() {
            true => error.within(format!("a range of {} keys", info.name)),
            false => self.engine_error(error, &KeysToLoad::default()),
        })?;
        self.check_differs(&page.differs)?;
        self.note_page(info, &page.range, page.records, with_objects);
        let mut state = self.state.borrow_mut();
        state.seen.stamp = page.stamp;
        state.durable_at = state.durable_at.max(page.durable_at);
        let seen = state.seen.ranges.last().map(|seen| seen.keys.clone()).unwrap_or_default();
        Ok((self::overlay(&state, seen, &page.range), page.range))
    }

    fn note_page(&self, info: &'static TypeInfo, range: &KeyRange, records: Vec<(RecordKey, Record)>, with_objects: bool) {
        let mut state = self.state.borrow_mut();
        let mut keys = Vec::with_capacity(records.len());
        for (key, record) in records {
            keys.push(key.clone());
            if with_objects && state.index_of(&key).is_none() {
                state.add(info, key, Some(record));
            }
        }
        state.seen.ranges.push(SeenRange { range: range.clone(), keys });
    }
}

/// The keys seen in the engine, with what the transaction itself has inserted and removed.
fn overlay(state: &super::attempt::State, seen: Vec<RecordKey>, range: &KeyRange) -> VecDeque<RecordKey> {
    let slot = |key: &RecordKey| state.index_of(key).map(|index| &state.slots[index]);
    let mut keys: Vec<RecordKey> = seen.into_iter().filter(|key| slot(key).is_none_or(|slot| slot.exists())).collect();
    let inserted = state
        .slots
        .iter()
        .zip(&state.seen.records)
        .filter(|(slot, (key, _))| slot.base.is_none() && matches!(slot.current, Current::Changed(_)) && range.contains(key));
    keys.extend(inserted.map(|(_, (key, _))| key.clone()));
    keys.sort();
    keys.into()
}

impl<T> fmt::Debug for Keys<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("rest", &self.pages.rest).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Range<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("rest", &self.pages.rest).finish_non_exhaustive()
    }
}
