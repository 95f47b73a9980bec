//! The clients of one process: threads that run transactions of all kinds, and note what became of them.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use metaparticle::Store;

use super::event::Event;
use super::history::write_lines;
use super::invariants::Client;
use super::lists::{Planner, Shift};

/// Every so many threads, one runs several transactions at a time, as futures.
const ASYNC: u64 = 4;
/// So many of them.
const AT_A_TIME: u64 = 4;
/// After so many transactions a process says how far it has come.
const TOLD: u64 = 50;
/// Longer than any trouble lasts that is made on purpose.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The part of a round that one process runs.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) round: u64,
    pub(super) seed: u64,
    /// Which of the processes this is, and how many there are.
    pub(super) process: u64,
    pub(super) processes: u64,
    pub(super) threads: u64,
    pub(super) transactions: u64,
    /// Whether attempts that are rolled back see no mixture either, nor what is never committed.
    pub(super) is_opaque: bool,
    /// Whether it says on its output how far it has come, so that nobody takes it for stuck.
    pub(super) tells: bool,
}

impl Part {
    pub(super) fn run(&self, store: &Store) -> Vec<Event> {
        let (shift, left, events) = (Shift::default(), AtomicU64::new(self.transactions), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..self.threads {
                let (shift, left, events) = (&shift, &left, &events);
                scope.spawn(move || {
                    let own = self.run_thread(store, thread, shift, left);
                    events.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend(own);
                });
            }
        });
        events.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run_thread(&self, store: &Store, thread: u64, shift: &Shift, left: &AtomicU64) -> Vec<Event> {
        let _entered = store.enter();
        let index = self.process * self.threads + thread;
        let threads = self.processes * self.threads;
        let mut random = fastrand::Rng::with_seed(self.seed ^ (self.round * threads + index).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut planner =
            Planner { round: self.round, random: random.fork(), shift, value: index, stride: threads, processes: self.processes };
        let mut client = Client {
            store,
            round: self.round,
            random: random.fork(),
            is_opaque: self.is_opaque,
            number: index,
            stride: threads,
            events: Vec::new(),
        };
        let take = |wanted| {
            let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted));
            if let Ok(before) = before
                && self.tells
                && before / TOLD != (before - wanted) / TOLD
            {
                println!("LEFT {before}");
            }
            before.is_ok()
        };
        let is_async = thread % ASYNC == ASYNC - 1;
        loop {
            if random.u8(..100) < 30 {
                if !take(1) {
                    break;
                }
                client.step();
            } else if is_async && take(AT_A_TIME) {
                let plans: Vec<_> = (0..AT_A_TIME).map(|_| planner.plan()).collect();
                let run = plans
                    .iter()
                    .enumerate()
                    .map(|(at, plan)| plan.run_async(store, index * AT_A_TIME + at as u64, self.is_opaque));
                let ended = pollster::block_on(join_all(run)).into_iter().flatten();
                client.events.extend(ended);
            } else if take(1) {
                client.events.extend(planner.plan().run(store, index * AT_A_TIME, self.is_opaque));
            } else {
                break;
            }
        }
        client.events
    }
}

/// Runs one process's part of a round, and writes down what became of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Process {
    url: String,
    round: u64,
    seed: u64,
    process: u64,
    processes: u64,
    threads: u64,
    transactions: u64,
    /// Where to.
    events: PathBuf,
}

impl Process {
    pub(super) fn new(part: &Part, url: &str, events: PathBuf) -> Self {
        let Part { round, seed, process, processes, threads, transactions, .. } = *part;
        Self { url: url.to_owned(), round, seed, process, processes, threads, transactions, events }
    }

    /// How it is called.
    pub(super) fn arguments(&self) -> Vec<String> {
        let numbers = [self.round, self.seed, self.process, self.processes, self.threads, self.transactions];
        let words = ["serializable-client".to_owned(), self.url.clone()].into_iter();
        words.chain(numbers.map(|number| number.to_string())).chain([self.events.display().to_string()]).collect()
    }

    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let Self { round, seed, process, processes, threads, transactions, .. } = *self;
        let store = Store::builder(&self.url).timeout(PATIENCE).open()?;
        let part = Part { round, seed, process, processes, threads, transactions, is_opaque: false, tells: true };
        let events = part.run(&store);
        write_lines(BufWriter::new(File::create(&self.events)?), &events).map_err(|failure| failure.to_string())?;
        let stats = store.stats();
        println!("DONE {} {}", stats.reruns, stats.rebases);
        Ok(())
    }
}
