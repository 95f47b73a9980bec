//! Records read a page at a time, also around those that the engine cannot read.

use std::collections::VecDeque;

use super::Inspector;
use crate::engine::{KeyRange, Record, RecordKey, Seen};
use crate::error::{Error, Result};

/// How many records are asked of the engine at once.
const PAGE: usize = 256;
/// How long a key is looked for, and how many records may be unreadable one after the other, before it is given up.
const KEY_BYTES: usize = 1 << 12;
const DAMAGED_IN_A_ROW: usize = 1_000;

/// The records in a range; see [`Inspector::records`]. It ends with the first error.
#[derive(Debug)]
pub struct Records<'a> {
    inspector: &'a Inspector,
    /// What is still to be read.
    rest: KeyRange,
    found: VecDeque<(RecordKey, Record)>,
    page: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(inspector: &'a Inspector, rest: KeyRange) -> Self {
        Self { inspector, rest, found: VecDeque::new(), page: PAGE }
    }

    fn next_record(&mut self) -> Result<Option<(RecordKey, Record)>> {
        if self.found.is_empty() && self.rest.start < self.rest.end {
            let page = self.inspector.scan(&self.rest, self.page)?;
            // An engine that did not get ahead would be asked for ever.
            let ahead = page.range.end > self.rest.start;
            self.rest.start = if ahead { page.range.end } else { self.rest.end.clone() };
            self.found = page.records.into();
            self.page = PAGE;
        }
        Ok(self.found.pop_front())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(RecordKey, Record)>;

    fn next(&mut self) -> Option<Self::Item> {
        // A page without records is the last.
        self.next_record().inspect_err(|_| self.rest.start = self.rest.end.clone()).transpose()
    }
}

impl Inspector {
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<crate::engine::Page> {
        self.waiter().wait(self.engine().scan(Seen::NOTHING, range, limit))
    }
}

/// The records in a range, and the error of each that the engine cannot read; see [`Inspector::salvage`].
#[derive(Debug)]
pub struct Salvaged<'a> {
    records: Records<'a>,
    in_a_row: usize,
}

impl<'a> Salvaged<'a> {
    pub(super) fn new(inspector: &'a Inspector, range: KeyRange) -> Self {
        Self { records: Records::new(inspector, range), in_a_row: 0 }
    }

    fn next_salvaged(&mut self) -> Result<Option<(RecordKey, Result<Record>)>> {
        let sound = |found: Option<(RecordKey, Record)>| Ok(found.map(|(key, record)| (key, Ok(record))));
        let error = match self.records.next_record() {
            Ok(found) => {
                self.in_a_row = 0;
                return sound(found);
            }
            Err(error) => error,
        };
        if !error.is_corrupt() || self.in_a_row == DAMAGED_IN_A_ROW {
            return Err(error);
        }
        // What comes before the damage, one by one.
        self.records.page = 1;
        if let Ok(found) = self.records.next_record() {
            self.in_a_row = 0;
            return sound(found);
        }
        let key = self.find_damaged(&error)?;
        self.in_a_row += 1;
        self.records.rest.start = key.next();
        Ok(Some((key, Err(error))))
    }

    /// The key of the first record of the rest, which cannot be read, so that the engine does not tell its key: the largest
    /// key up to which there is nothing to read, found byte by byte.
    fn find_damaged(&self, error: &Error) -> Result<RecordKey> {
        let start = &self.records.rest.start;
        let is_before = |key: &[u8]| {
            let range = KeyRange { start: start.clone(), end: RecordKey::new(key) };
            *key <= **start || self.records.inspector.scan(&range, 1).is_ok()
        };
        let mut key = Vec::new();
        while key.len() < KEY_BYTES {
            key.push(0);
            if !is_before(&key) {
                key.pop();
                break;
            }
            let (mut low, mut high) = (0u8, 0xffu8);
            while low < high {
                let middle = low + (high - low).div_ceil(2);
                if let Some(last) = key.last_mut() {
                    *last = middle;
                }
                if is_before(&key) { low = middle } else { high = middle - 1 }
            }
            if let Some(last) = key.last_mut() {
                *last = low;
            }
        }
        let key = RecordKey::new(key);
        if self.records.rest.contains(&key) { Ok(key) } else { Err(error.clone()) }
    }
}

impl Iterator for Salvaged<'_> {
    type Item = Result<(RecordKey, Result<Record>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_salvaged();
        next.inspect_err(|_| self.records.rest.start = self.records.rest.end.clone()).transpose()
    }
}
