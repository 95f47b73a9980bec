//! The process whose disk fails. It writes until it is told of it; then it opens the store again, and looks at it.
//!
//! Beside the lines of a writer and a verifier, it says:
//!
//! | line | what it says |
//! |---|---|
//! | `REFUSED what` | the store could not be opened |
//! | `ERROR kind what` | a transaction has failed |
//! | `PANIC where what` | something has panicked |
//! | `BAD kind what` | what has happened must not happen |

use std::ops::RangeInclusive;
use std::panic::PanicHookInfo;
use std::process::Command;
use std::thread;

use metaparticle::{Durability, Error, ErrorKind, Store};
use metaparticle_tests::crash::{self, Wrong};

use crate::campaign::{Campaign, Failure, Result};
use crate::crash::{bounds, say_wrong};

/// Writes to a store whose disk fails, and opens it again.
#[derive(Debug, clap::Args)]
pub(crate) struct Faulty {
    pub(super) url: String,
    /// How many numbers each thread writes, at most.
    pub(super) numbers: u64,
    /// The command that mends the disk, once the process has met with an error.
    #[arg(long)]
    pub(super) mend: Option<String>,
    /// Ends after the first error, without closing the store.
    #[arg(long)]
    pub(super) leaves: bool,
    /// Where each thread's next number is.
    #[arg(value_parser = bounds)]
    pub(super) bounds: Vec<RangeInclusive<u64>>,
}

/// What the system says of a disk that fails, is full, or cannot be written to.
const REASONS: [&str; 3] = ["Input/output error", "No space left on device", "Read-only file system"];
/// A fault may come as late as when the store is opened again.
const OPENINGS: u32 = 4;
/// At every number that is a multiple of it, a thread that does not wait for the disk flushes the store.
const FLUSHED: u64 = 16;

impl Faulty {
    /// The arguments that have a child be one.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["faulty".to_owned(), self.url.clone(), self.numbers.to_string()];
        arguments.extend(self.mend.iter().flat_map(|command| ["--mend".to_owned(), command.clone()]));
        arguments.extend(self.leaves.then(|| "--leaves".to_owned()));
        arguments.extend(self.bounds.iter().map(|bounds| format!("{bounds:?}")));
        arguments
    }

    pub(crate) fn run(&self) -> std::result::Result<(), Box<dyn std::error::Error>> {
        std::panic::set_hook(Box::new(say_panic));
        let mut bounds = self.bounds.clone();
        if let Some(store) = self.open() {
            println!("OPEN");
            let has_failed = self.write(&store, &mut bounds);
            if has_failed {
                self.check_stopped(&store);
            }
            if self.leaves {
                std::process::exit(0);
            }
            drop(store);
        }
        if let Some(command) = &self.mend {
            let status = Command::new("sh").args(["-c", command]).status()?;
            if !status.success() {
                return Err(format!("`{command}` has ended with {status}").into());
            }
        }
        for _ in 0..OPENINGS {
            if let Some(store) = self.open()
                && self.go_on(&store, &mut bounds)
            {
                drop(store);
                println!("OK");
                return Ok(());
            }
        }
        say_bad("unopenable", &format!("the store could not be used {OPENINGS} times, and the disk is mended"));
        Ok(())
    }

    fn open(&self) -> Option<Store> {
        match Store::open(&self.url) {
            Ok(store) => Some(store),
            Err(error) => {
                println!("REFUSED {}", one_line(&error));
                self.check_clear(&error);
                None
            }
        }
    }

    /// Writes with all threads; whether one has failed.
    fn write(&self, store: &Store, bounds: &mut [RangeInclusive<u64>]) -> bool {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(bounds.iter_mut())
                .map(|(thread, bounds)| scope.spawn(move || self.write_thread(store, thread, bounds)))
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|has_failed| *has_failed).count() > 0
        })
    }

    fn write_thread(&self, store: &Store, thread: u64, bounds: &mut RangeInclusive<u64>) -> bool {
        let durability = if thread.is_multiple_of(2) { Durability::Immediate } else { Durability::Eventual };
        for _ in 0..self.numbers {
            let number = match crash::write(store, thread, self.bounds.len() as u64, durability) {
                Ok(number) => number,
                Err(error) => {
                    let may_be_there = error.is_indeterminate();
                    *bounds = *bounds.start()..=bounds.end() + u64::from(may_be_there);
                    self.say_error(&error);
                    return true;
                }
            };
            let is_durable = durability == Durability::Immediate;
            *bounds = if is_durable { number + 1 } else { *bounds.start() }..=number + 1;
            println!("{} {thread} {number}", if is_durable { "ACK" } else { "DONE" });
            if !is_durable && number.is_multiple_of(FLUSHED) {
                if let Err(error) = store.flush() {
                    self.say_error(&error);
                    return true;
                }
                *bounds = number + 1..=number + 1;
                println!("ACK {thread} {number}");
            }
        }
        false
    }

    /// A store that has failed says so to everyone.
    fn check_stopped(&self, store: &Store) {
        match crash::write(store, 0, self.bounds.len() as u64, Durability::Immediate) {
            Ok(number) => say_bad("failed", &format!("a store that has failed goes on with number {number}")),
            Err(error) => self.check_clear(&error),
        }
    }

    /// Looks at the store that is open again, and writes a number of each thread; whether that has succeeded.
    fn go_on(&self, store: &Store, bounds: &mut [RangeInclusive<u64>]) -> bool {
        let next = match crash::verify(store, bounds) {
            Ok(next) => next,
            Err(Wrong { kind, what }) => {
                say_wrong(kind, &what);
                return false;
            }
        };
        println!("FOUND {}", next.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
        for ((next, bounds), thread) in next.into_iter().zip(&mut *bounds).zip(0..) {
            *bounds = next..=next;
            match crash::write(store, thread, self.bounds.len() as u64, Durability::Immediate) {
                Ok(number) => {
                    println!("ACK {thread} {number}");
                    *bounds = number + 1..=number + 1;
                }
                Err(error) => {
                    *bounds = next..=next + u64::from(error.is_indeterminate());
                    self.say_error(&error);
                    return false;
                }
            }
        }
        true
    }

    fn say_error(&self, error: &Error) {
        println!("ERROR {:?} {}", error.kind(), one_line(error));
        self.check_clear(error);
    }

    /// An error has to say what has failed, where, and why.
    fn check_clear(&self, error: &Error) {
        let text = one_line(error);
        let folder = self.url.split_once(':').map_or("", |(_, folder)| folder);
        let is_clear = matches!(error.kind(), ErrorKind::Engine | ErrorKind::Indeterminate)
            && text.contains(folder)
            && REASONS.iter().any(|reason| text.contains(reason));
        if !is_clear {
            say_bad("unclear", &text);
        }
    }
}

fn one_line(error: &Error) -> String {
    format!("{error:?}").replace('\n', " ")
}

fn say_bad(kind: &str, what: &str) {
    println!("BAD {kind} {what}");
}

fn say_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    println!("PANIC {place} {}", info.payload_as_str().unwrap_or_default().replace('\n', " "));
}

/// A line of this process, understood.
pub(super) enum Line {
    Refused,
    Error {
        is_indeterminate: bool,
    },
    /// Of a library behind metaparticle, which catches it.
    LibraryPanic,
}

pub(super) fn is_own(line: &str) -> bool {
    ["REFUSED ", "ERROR ", "PANIC ", "BAD "].iter().any(|word| line.starts_with(word))
}

/// Takes in such a line.
pub(super) fn read(line: &str) -> Result<Line> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (kind, what) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "REFUSED" => Ok(Line::Refused),
        "ERROR" => Ok(Line::Error { is_indeterminate: kind == "Indeterminate" }),
        "PANIC" if kind.contains("/registry/src/") => Ok(Line::LibraryPanic),
        "PANIC" => Err(Failure::new("panicked", rest)),
        _ => {
            let figure = super::Disk::WRONG.iter().find(|wrong| **wrong == kind);
            Err(Failure::new(figure.ok_or_else(|| Failure::not_run(format!("a child has said `{line}`")))?, what))
        }
    }
}
