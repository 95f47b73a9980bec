//! What an attempt notes, left by the one before it on the same thread, so that its room need not be allocated anew.

use std::cell::Cell;

use super::attempt::State;
use crate::engine::{Seen, Stamp};
use crate::sync::thread_local;

/// Room for more objects than this is not kept.
const KEPT: usize = 64;

thread_local! {
    static SPARE: Cell<Option<Box<State>>> = const { Cell::new(None) };
}

impl State {
    /// One that is empty.
    pub(super) fn spare() -> Box<Self> {
        // A thread that ends has none.
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Empties it, and leaves it to the next attempt.
    pub(super) fn leave(mut self: Box<Self>) {
        if self.slots.capacity().max(self.undo.capacity()) > KEPT {
            return;
        }
        self.clear();
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    fn clear(&mut self) {
        // All fields by name, so that none is forgotten.
        let Self {
            slots,
            places,
            seen,
            durable_at,
            gate,
            fresh,
            doom,
            unstorable,
            undo,
            frame,
            frames,
            has_changed,
            effects,
            random: _,
            nesting,
            interrupted,
            turn,
            room_for_writes,
            room_for_keys,
        } = self;
        let Seen { records, ranges, stamp } = seen;
        slots.clear();
        places.clear();
        records.clear();
        ranges.clear();
        undo.clear();
        effects.clear();
        room_for_writes.clear();
        room_for_keys.clear();
        (*stamp, *durable_at, *nesting, *unstorable) = (Stamp(0), Stamp(0), 0, 0);
        (*frame, *frames, *has_changed) = (0, 0, false);
        (*gate, *fresh, *doom, *interrupted, *turn) = (None, None, None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RecordKey;
    use crate::transaction::attempt::{Current, Doom, Undo};
    use crate::transaction::conflict::Fresh;

    #[test]
    fn what_is_left_to_the_next_attempt_is_room_only() {
        let key = RecordKey::new(*b"key");
        let mut state = State::default();
        state.seen.records.push((key.clone(), None));
        state.seen.stamp = Stamp(7);
        (state.durable_at, state.nesting, state.unstorable) = (Stamp(8), 2, 2);
        (state.frame, state.frames, state.has_changed) = (1, 1, true);
        let fresh = Fresh { key, record: None, durable_at: Stamp(9) };
        (state.fresh, state.doom) = (Some(Box::new(fresh)), Some(Box::new(Doom::Waits)));
        state.undo.push(Undo { index: 0, before: Current::Base, changed_in: 0 });
        state.effects.push(Box::new(|| panic!("nobody asked for it")));
        state.interrupt("an object".to_owned());
        Box::new(state).leave();
        let state = State::spare();
        assert!(state.seen.records.capacity() > 0, "it is another one");
        assert!(state.seen.records.is_empty() && state.undo.is_empty() && state.effects.is_empty());
        assert_eq!((state.seen.stamp, state.durable_at), (Stamp(0), Stamp(0)));
        assert_eq!((state.nesting, state.unstorable, state.frame, state.frames, state.has_changed), (0, 0, 0, 0, false));
        assert!(state.fresh.is_none() && state.doom.is_none() && state.interrupted.is_none());
    }
}
