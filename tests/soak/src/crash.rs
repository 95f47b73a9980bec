//! What campaigns of crashes have in common: a process that writes, one that looks at what is left, and what is known from what
//! they say.
//!
//! | line | what it says |
//! |---|---|
//! | `OPEN` | the store is open |
//! | `ACK thread n` | the thread's numbers up to n are durable |
//! | `DONE thread n` | number n is committed, and may be lost |
//! | `SAW thread n` | the thread's numbers below n are durable, says one who has read them |
//! | `FOUND n …` | what the verifier has found is right: the threads' next numbers |
//! | `WRONG kind what` | what has happened to a process, or what it has found, is not right |
//! | `OK` | the verifier has written to the store, and closed it |

mod verifier;
mod writer;

use std::ops::RangeInclusive;

pub(crate) use self::verifier::Verifier;
pub(crate) use self::writer::{Mode, Writer};
use crate::campaign::{Failure, Result};
use crate::figures::Figures;

/// Those figures of a campaign of crashes that must stay zero.
pub(crate) const WRONG: &[&str] = &["lost", "torn", "invented", "unopenable", "unreadable", "failed", "stuck"];

/// What must be in a store, and what may be.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Vec<Thread>);

/// A thread's numbers, each as the next one to be written.
#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    /// What is durable.
    least: u64,
    /// What was said to be committed.
    said: u64,
    /// What can have been committed.
    most: u64,
}

impl Ledger {
    /// That of a store that is not there yet.
    pub(crate) fn new(threads: usize) -> Self {
        Self(vec![Thread::default(); threads])
    }

    /// How far each thread must and can have come.
    pub(crate) fn bounds(&self) -> Vec<RangeInclusive<u64>> {
        self.0.iter().map(|thread| thread.least..=thread.most).collect()
    }

    /// Takes in what a process has said.
    pub(crate) fn hear(&mut self, lines: &[String], figures: &mut Figures) -> Result<()> {
        lines.iter().try_for_each(|line| self.hear_line(line, figures))
    }

    fn hear_line(&mut self, line: &str, figures: &mut Figures) -> Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "WRONG" => {
                let (kind, what) = rest.split_once(' ').unwrap_or((rest, ""));
                let kind = WRONG.iter().find(|wrong| **wrong == kind).ok_or_else(|| not_understood(line))?;
                return Err(Failure::new(kind, what));
            }
            "FOUND" => return self.found(rest, figures).ok_or_else(|| not_understood(line)),
            "OPEN" | "OK" => return Ok(()),
            _ => {}
        }
        let numbers =
            rest.split_once(' ').and_then(|(thread, number)| Some((thread.parse::<usize>().ok()?, number.parse().ok()?)));
        let (thread, number): (_, u64) = numbers.ok_or_else(|| not_understood(line))?;
        let thread = self.0.get_mut(thread).ok_or_else(|| not_understood(line))?;
        let (least, said) = match word {
            "ACK" => (number + 1, number + 1),
            "DONE" => (thread.least, number + 1),
            "SAW" => (number, thread.said),
            _ => return Err(not_understood(line)),
        };
        let least = least.max(thread.least);
        figures.add("acknowledged", least - thread.least);
        thread.least = least;
        thread.said = said.max(thread.said).max(least);
        thread.most = thread.most.max(thread.said);
        Ok(())
    }

    /// Takes note of what the verifier has found, which is durable now.
    fn found(&mut self, numbers: &str, figures: &mut Figures) -> Option<()> {
        let numbers = numbers.split(' ').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
        for (thread, &next) in self.0.iter_mut().zip(&numbers) {
            figures.add("unknown", next.saturating_sub(thread.said));
            figures.add("eventual_gone", thread.said.saturating_sub(next));
            *thread = Thread { least: next, said: next, most: next };
        }
        (numbers.len() == self.0.len()).then_some(())
    }

    /// A process that wrote was ended: each thread may have written one number more than it has said.
    pub(crate) fn cut_short(&mut self) {
        self.0.iter_mut().for_each(|thread| thread.most += 1);
    }
}

/// Has a child say what is wrong.
fn say_wrong(kind: &str, what: &str) {
    println!("WRONG {kind} {}", what.replace('\n', " "));
}

fn not_understood(line: &str) -> Failure {
    Failure::not_run(format!("a child has said `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(ledger: &mut Ledger, lines: &[&str]) -> Result<Figures> {
        let mut figures = Figures::default();
        ledger.hear(&lines.iter().map(ToString::to_string).collect::<Vec<_>>(), &mut figures)?;
        Ok(figures)
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_one_more_may_be() {
        let mut ledger = Ledger::new(3);
        let figures =
            hear(&mut ledger, &["OPEN", "ACK 0 0", "ACK 0 1", "DONE 1 0", "SAW 1 0", "SAW 2 4"]).expect("it is understood");
        ledger.cut_short();
        assert_eq!(ledger.bounds(), [2..=3, 0..=2, 4..=5]);
        assert_eq!(figures.get("acknowledged"), 6);
    }

    #[test]
    fn what_is_found_is_what_must_be_there_from_then_on() {
        let mut ledger = Ledger::new(2);
        hear(&mut ledger, &["DONE 0 7", "ACK 1 2"]).expect("it is understood");
        ledger.cut_short();
        let figures = hear(&mut ledger, &["FOUND 5 4", "ACK 0 5", "OK"]).expect("it is understood");
        assert_eq!(ledger.bounds(), [6..=6, 4..=4]);
        assert_eq!((figures.get("eventual_gone"), figures.get("unknown")), (3, 1));
    }

    #[test]
    fn what_is_wrong_is_a_failure() {
        let failure = hear(&mut Ledger::new(1), &["WRONG torn a part is missing"]).expect_err("it is wrong");
        assert_eq!(failure.to_string(), "torn: a part is missing");
        for line in ["", "ACK", "ACK 0", "ACK 1 0", "WRONG thing it is", "FOUND 1 2", "FOUND", "SEEN 0 1"] {
            assert!(hear(&mut Ledger::new(1), &[line]).is_err(), "{line}");
        }
    }
}
