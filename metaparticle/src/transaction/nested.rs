//! A function that is nested in a transaction: what it has done, to undo only that if it fails.

use super::attempt::Attempt;
use crate::planted::{Bug, planted};

/// A nested function: undone when dropped, unless it is kept.
pub(super) struct Nested<'a> {
    attempt: &'a Attempt,
    undo: usize,
    effects: usize,
    nesting: usize,
    kept: bool,
}

impl<'a> Nested<'a> {
    pub(super) fn new(attempt: &'a Attempt) -> Self {
        let mut state = attempt.state.borrow_mut();
        state.nesting += 1;
        Self { attempt, undo: state.undo.len(), effects: state.effects.len(), nesting: state.nesting, kept: false }
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
        if self.kept || planted(Bug::ForgetUndo) {
            // What was cut short in it, and is kept, is left to its caller.
            if let Some((nesting, _)) = state.interrupted.as_deref_mut() {
                *nesting = state.nesting.min(*nesting);
            }
            return;
        }
        let mut undone = state.undo.split_off(self.undo);
        for (index, before) in undone.iter_mut().rev() {
            std::mem::swap(&mut state.slots[*index].current, before);
        }
        let effects = state.effects.split_off(self.effects);
        // What the panic cut short is undone now.
        if state.interrupted.as_ref().is_some_and(|interrupted| interrupted.0 >= self.nesting) {
            state.interrupted = None;
        }
        // Values of the user's, which may run transactions as they go.
        drop(borrowed);
        drop((undone, effects));
    }
}
