//! The process that writes.

use std::fmt;
use std::thread;

use metaparticle::{Durability, Result, Store};
use metaparticle_tests::crash;

use super::say_wrong;
use crate::child::Traced;

/// When transactions return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// When they are durable.
    Immediate,
    /// Earlier. Now and then, the store is flushed.
    Eventual,
    /// One so, the other so.
    Mixed,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Immediate => "immediate",
            Self::Eventual => "eventual",
            Self::Mixed => "mixed",
        })
    }
}

/// At every number that is a multiple of it, an eventual writer flushes the store.
const FLUSHED: u64 = 64;
/// At every number that is a multiple of it, the next thread is looked at.
const LOOKING: u64 = 2;

/// Writes numbers with several threads, for ever.
#[derive(Debug, clap::Args)]
pub(crate) struct Writer {
    url: String,
    mode: Mode,
    threads: u64,
    #[command(flatten)]
    traced: Traced,
}

impl Writer {
    /// The arguments that have a child be one.
    pub(crate) fn arguments(url: &str, mode: Mode, threads: u64) -> Vec<String> {
        ["writer".to_owned(), url.to_owned(), mode.to_string(), threads.to_string()].into()
    }

    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        self.traced.begin()?;
        let store = match Store::open(&self.url) {
            Ok(store) => store,
            Err(error) => {
                say_wrong("unopenable", &format!("{error:?}"));
                return Ok(());
            }
        };
        println!("OPEN");
        thread::scope(|scope| {
            for thread in 0..self.threads {
                let store = &store;
                scope.spawn(move || {
                    let Err(error) = self.write(store, thread);
                    say_wrong("failed", &format!("{error:?}"));
                    // No other thread is to write on.
                    std::process::exit(0);
                });
            }
        });
        Ok(())
    }

    fn write(&self, store: &Store, thread: u64) -> Result<std::convert::Infallible> {
        loop {
            let is_eventual = match self.mode {
                Mode::Immediate => false,
                Mode::Eventual => true,
                Mode::Mixed => fastrand::bool(),
            };
            let durability = if is_eventual { Durability::Eventual } else { Durability::Immediate };
            let number = crash::write(store, thread, self.threads, durability)?;
            println!("{} {thread} {number}", if is_eventual { "DONE" } else { "ACK" });
            if self.mode == Mode::Eventual {
                if number.is_multiple_of(FLUSHED) {
                    store.flush()?;
                    println!("ACK {thread} {number}");
                }
            } else if number.is_multiple_of(LOOKING) {
                let other = (thread + 1) % self.threads;
                println!("SAW {other} {}", crash::next(store, other)?);
            }
        }
    }
}
