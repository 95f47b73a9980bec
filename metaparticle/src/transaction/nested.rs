//! A function that is nested in a transaction: what it has done, to undo only that if it fails.

use super::attempt::{Attempt, State, Undo};
use crate::planted::{Bug, planted};

/// A nested function: undone when dropped, unless it is kept.
pub(super) struct Nested<'a> {
    attempt: &'a Attempt,
    undo: usize,
    effects: usize,
    nesting: usize,
    /// The one that it is nested in.
    outer: u32,
    kept: bool,
}

impl<'a> Nested<'a> {
    pub(super) fn new(attempt: &'a Attempt) -> Self {
        let mut state = attempt.state.borrow_mut();
        state.nesting += 1;
        state.frames += 1;
        let (undo, effects, nesting) = (state.undo.len(), state.effects.len(), state.nesting);
        let frame = state.frames;
        let outer = std::mem::replace(&mut state.frame, frame);
        Self { attempt, undo, effects, nesting, outer, kept: false }
    }

    /// Whether the function has changed anything.
    pub(super) fn has_changes(&self) -> bool {
        self.attempt.state.borrow().undo.len() > self.undo
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        let mut borrowed = self.attempt.state.borrow_mut();
        let state = &mut *borrowed;
        state.nesting -= 1;
        state.frame = self.outer;
        // Values of the user's, which may run transactions as they go, are dropped without the state.
        if self.kept || planted(Bug::ForgetUndo) {
            // What was cut short in it, and is kept, is left to its caller.
            if let Some((nesting, _)) = state.interrupted.as_deref_mut() {
                *nesting = state.nesting.min(*nesting);
            }
            state.unstorable = state.unstorable.min(state.nesting);
            let needless = state.leave_to_outer(self.undo);
            drop(borrowed);
            drop(needless);
            return;
        }
        let mut undone = state.undo.split_off(self.undo);
        for Undo { index, before, changed_in } in undone.iter_mut().rev() {
            let slot = &mut state.slots[*index];
            std::mem::swap(&mut slot.current, before);
            slot.changed_in = *changed_in;
        }
        let effects = state.effects.split_off(self.effects);
        // What the panic cut short is undone now.
        if state.interrupted.as_ref().is_some_and(|interrupted| interrupted.0 >= self.nesting) {
            state.interrupted = None;
        }
        // And so is what could not be stored.
        let mut doom = None;
        if state.unstorable >= self.nesting {
            state.unstorable = 0;
            doom = state.doom.take();
        }
        drop(borrowed);
        drop((undone, effects, doom));
    }
}

impl State {
    /// Leaves what a function has changed, and `undo` has from `start` on, to the one that it was nested in. Gives what is known of
    /// objects that this one has changed as well, or that nobody will undo.
    fn leave_to_outer(&mut self, start: usize) -> Vec<Undo> {
        let mut needless = Vec::new();
        self.has_changed |= self.frame == 0 && self.undo.len() > start;
        for undo in self.undo.split_off(start) {
            self.slots[undo.index].changed_in = self.frame;
            if undo.changed_in == self.frame { needless.push(undo) } else { self.undo.push(undo) }
        }
        needless
    }
}
