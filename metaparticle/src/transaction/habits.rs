//! Which objects a function asks for that are known only once its body runs, so that the next call reads them with its first request.
//!
//! Guessing wrong costs no conflict and mostly no round trip, only the reading of a record more; a function that does not repeat
//! itself is not guessed at.

use std::collections::HashMap;

use crate::engine::RecordKey;
use crate::sync::Mutex;

/// How many keys are remembered of a function.
const KEYS: usize = 32;

/// How often in a row a guess may have been of no use before there are none.
const MISSES: u32 = 3;

/// What functions do, by their names.
#[derive(Default)]
pub(crate) struct Habits {
    functions: Mutex<HashMap<&'static str, Habit>>,
}

#[derive(Default)]
struct Habit {
    /// What the last call asked for after its first request.
    keys: Vec<RecordKey>,
    /// How often in a row none of them was what the next call asked for.
    misses: u32,
}

impl Habits {
    /// What the next call of the function may ask for.
    pub(super) fn guess(&self, function: &'static str) -> Vec<RecordKey> {
        let functions = self.functions.lock();
        functions.get(function).filter(|habit| habit.misses < MISSES).map(|habit| habit.keys.clone()).unwrap_or_default()
    }

    /// Remembers what a call has asked for after its first request.
    pub(super) fn learn(&self, function: &'static str, later: Vec<RecordKey>) {
        let mut functions = self.functions.lock();
        let habit = match functions.get_mut(function) {
            Some(habit) => habit,
            None if later.is_empty() => return,
            None => functions.entry(function).or_default(),
        };
        if !habit.keys.is_empty() {
            let is_usual = habit.keys.iter().any(|key| later.contains(key));
            habit.misses = if is_usual { 0 } else { (habit.misses + 1).min(MISSES) };
        }
        habit.keys = later;
        habit.keys.truncate(KEYS);
    }

    /// Guesses nothing of the function any more, until something is learned again.
    pub(super) fn forget(&self, function: &'static str) {
        self.functions.lock().remove(function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> RecordKey {
        RecordKey::new(n.to_be_bytes())
    }

    #[test]
    fn a_function_that_repeats_itself_is_guessed_and_one_that_does_not_is_not() {
        let habits = Habits::default();
        assert!(habits.guess("f").is_empty());
        habits.learn("f", vec![key(0)]);
        assert_eq!(habits.guess("f"), [key(0)]);
        for n in 1..=MISSES {
            assert_eq!(habits.guess("f"), [key(n - 1)]);
            habits.learn("f", vec![key(n)]);
        }
        assert!(habits.guess("f").is_empty());
        habits.learn("f", vec![key(MISSES)]);
        assert_eq!(habits.guess("f"), [key(MISSES)]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let habits = Habits::default();
        habits.learn("f", (0..1000).map(key).collect());
        assert_eq!(habits.guess("f").len(), KEYS);
    }
}
