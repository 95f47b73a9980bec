//! Room for what an attempt notes, left by the one before it on the same thread, so that it need not be allocated anew.

use std::cell::Cell;

use super::attempt::{Current, Slot};
use crate::engine::{RecordKey, Version};
use crate::sync::thread_local;

/// Room for more objects than this is not kept.
const KEPT: usize = 64;

thread_local! {
    static SPARE: Cell<Option<Room>> = const { Cell::new(None) };
}

/// Empty vectors.
#[derive(Default)]
pub(super) struct Room {
    pub(super) slots: Vec<Slot>,
    pub(super) records: Vec<(RecordKey, Option<Version>)>,
    pub(super) undo: Vec<(usize, Current)>,
}

impl Room {
    pub(super) fn take() -> Self {
        // A thread that ends has none.
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Empties it, and keeps it for the next attempt.
    pub(super) fn leave(mut self) {
        if self.slots.capacity().max(self.undo.capacity()) > KEPT {
            return;
        }
        self.slots.clear();
        self.records.clear();
        self.undo.clear();
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }
}
