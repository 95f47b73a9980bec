//! What a scheduler has chosen, written down so that it can be chosen again.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// One execution's choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    /// What its random numbers come from.
    seed: u64,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This thread goes on.
    Thread(u8),
    /// Somebody draws a random number.
    Draw,
}

/// Threads are written as one digit each.
const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DRAW: u8 = b'.';

impl Choices {
    pub(crate) fn steps(&self) -> u64 {
        self.steps.len() as u64
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let mut schedule = Schedule::new(self.seed);
        for step in &self.steps {
            match step {
                Step::Thread(thread) => schedule.push_task(TaskId::from(usize::from(*thread))),
                Step::Draw => schedule.push_random(),
            }
        }
        schedule
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |step: &Step| match step {
            Step::Thread(thread) => DIGITS.get(usize::from(*thread)).map_or('?', |digit| char::from(*digit)),
            Step::Draw => char::from(DRAW),
        };
        write!(f, "{:x}:{}", self.seed, self.steps.iter().map(digit).collect::<String>())
    }
}

impl FromStr for Choices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seed, steps) = text.split_once(':').ok_or("a schedule is a seed, a colon and steps")?;
        let step = |byte: u8| match DIGITS.iter().position(|digit| *digit == byte) {
            Some(thread) => Ok(Step::Thread(thread as u8)),
            None if byte == DRAW => Ok(Step::Draw),
            None => Err(format!("`{}` is no step of a schedule", char::from(byte))),
        };
        let seed = u64::from_str_radix(seed, 16).map_err(|error| error.to_string())?;
        Ok(Self { seed, steps: steps.bytes().map(step).collect::<Result<_, _>>()? })
    }
}

/// A scheduler, and what it has chosen in the execution that is running.
#[derive(Debug)]
pub(crate) struct Recorder<S> {
    scheduler: S,
    choices: Rc<RefCell<Choices>>,
    steps: Rc<RefCell<Steps>>,
}

/// How many steps executions have taken that are over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    pub(crate) all: u64,
    /// The longest of them.
    pub(crate) most: u64,
}

impl Steps {
    pub(crate) fn add(&mut self, other: Self) {
        *self = Self { all: self.all + other.all, most: self.most.max(other.most) };
    }
}

impl<S> Recorder<S> {
    pub(crate) fn new(scheduler: S) -> Self {
        Self { scheduler, choices: Rc::default(), steps: Rc::default() }
    }

    /// Where the choices are found.
    pub(crate) fn choices(&self) -> Rc<RefCell<Choices>> {
        self.choices.clone()
    }

    /// Where the steps are counted.
    pub(crate) fn steps(&self) -> Rc<RefCell<Steps>> {
        self.steps.clone()
    }
}

impl<S: Scheduler> Scheduler for Recorder<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let mut choices = self.choices.borrow_mut();
        self.steps.borrow_mut().add(Steps { all: choices.steps(), most: choices.steps() });
        choices.steps.clear();
        let schedule = self.scheduler.new_execution()?;
        choices.seed = schedule.seed;
        Some(schedule)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let next = self.scheduler.next_task(runnable, current, is_yielding)?;
        self.choices.borrow_mut().steps.push(Step::Thread(usize::from(next) as u8));
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.choices.borrow_mut().steps.push(Step::Draw);
        self.scheduler.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_can_be_read_again() {
        let choices = Choices { seed: 0xfeed, steps: vec![Step::Thread(0), Step::Draw, Step::Thread(11), Step::Thread(61)] };
        assert_eq!(choices.to_string(), "feed:0.bZ");
        assert_eq!(choices.to_string().parse(), Ok(choices));
        assert!("feed:0-".parse::<Choices>().is_err());
    }
}
