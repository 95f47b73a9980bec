//! The jobs that are measured, and how long one takes.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::peers::{ACCOUNTS, Peer, keeps, open};
use crate::process;

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Job {
    /// One counter, one thread.
    J1,
    /// One counter, several threads.
    J2,
    /// A transfer between two of 10,000 accounts.
    J3,
    /// Three accounts are read together.
    J4,
    /// One field of an object of 50 fields and 4 KiB is changed.
    J5,
}

/// When an operation returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Before it is on disk.
    Relaxed,
    /// Afterwards.
    Durable,
}

/// One peer at one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) job: Job,
    pub(crate) mode: Mode,
    pub(crate) threads: usize,
    pub(crate) peer: String,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) cell: Cell,
    pub(crate) ops_per_second: f64,
    /// Microseconds of processor time for each operation, all threads together.
    pub(crate) cpu_us_per_op: f64,
    pub(crate) retries_per_commit: f64,
    /// Bytes that the process had written to files for each operation, until it had ended normally.
    pub(crate) bytes_per_op: f64,
    pub(crate) peak_mib: f64,
    /// Updates that are not there after reopening, and what is missing of the accounts' sum.
    pub(crate) lost: i64,
}

/// Measures one cell in this process, in `folder`.
pub(crate) fn measure(cell: &Cell, folder: &Path, length: Duration) -> Measured {
    let peer = open(&cell.peer, folder, cell.mode);
    peer.fill();
    let before = process::usage();
    let (done, retries, took) = run(&*peer, cell, length);
    let busy = process::usage().cpu - before.cpu;
    let retries = retries + peer.retries();
    let found = if keeps(&cell.peer) {
        peer.close();
        let reopened = open(&cell.peer, folder, cell.mode);
        let totals = reopened.totals();
        reopened.close();
        totals
    } else {
        peer.totals()
    };
    let after = process::usage();
    Measured {
        cell: cell.clone(),
        ops_per_second: done as f64 / took.as_secs_f64(),
        cpu_us_per_op: busy.as_secs_f64() * 1e6 / done as f64,
        retries_per_commit: retries as f64 / done as f64,
        bytes_per_op: (after.written - before.written) as f64 / done as f64,
        peak_mib: after.peak as f64 / f64::from(1 << 20),
        lost: lost(cell, done, found),
    }
}

fn lost(cell: &Cell, done: u64, (counter, sum, wide): (i64, i64, u64)) -> i64 {
    if cell.peer.starts_with("limit") {
        return 0;
    }
    let done = done as i64;
    match cell.job {
        Job::J1 | Job::J2 => done - counter,
        Job::J3 | Job::J4 => sum.abs(),
        Job::J5 => done - wide as i64,
    }
}

/// How many operations were done, how often they were tried again, and how long it took.
fn run(peer: &dyn Peer, cell: &Cell, length: Duration) -> (u64, u64, Duration) {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(cell.threads + 1));
    let (done, retries) = (AtomicU64::new(0), AtomicU64::new(0));
    let took = thread::scope(|scope| {
        for thread in 0..cell.threads {
            let (stop, start, done, retries) = (&stop, &start, &done, &retries);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread as u64);
                start.wait();
                peer.on_thread(&mut || {
                    let (mut own, mut tried) = (0, 0);
                    while !stop.load(Ordering::Relaxed) {
                        tried += operation(peer, cell.job, &mut random);
                        own += 1;
                    }
                    done.fetch_add(own, Ordering::Relaxed);
                    retries.fetch_add(tried, Ordering::Relaxed);
                });
            });
        }
        start.wait();
        let start = Instant::now();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        start
    });
    // Until the last operation has returned.
    (done.into_inner(), retries.into_inner(), took.elapsed())
}

fn operation(peer: &dyn Peer, job: Job, random: &mut fastrand::Rng) -> u64 {
    match job {
        Job::J1 | Job::J2 => peer.increment(),
        Job::J3 => {
            let from = random.u32(..ACCOUNTS);
            peer.transfer(from, (from + random.u32(1..ACCOUNTS)) % ACCOUNTS)
        }
        Job::J4 => {
            let keys = [random.u32(..ACCOUNTS), random.u32(..ACCOUNTS), random.u32(..ACCOUNTS)];
            let [one, two, three] = keys;
            // Handles of one object twice would be another job.
            if one != two && two != three && one != three {
                std::hint::black_box(peer.read(keys));
            }
            0
        }
        Job::J5 => peer.change_field(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{PEERS, takes_part};

    #[test]
    fn every_peer_takes_part_and_loses_nothing() {
        for peer in PEERS {
            for (job, mode) in [(Job::J1, Mode::Durable), (Job::J3, Mode::Relaxed), (Job::J5, Mode::Relaxed)] {
                let threads = if job == Job::J3 { 2 } else { 1 };
                if takes_part(peer, job, mode, threads) {
                    let folder = tempfile::tempdir().expect("a folder");
                    let cell = Cell { job, mode, threads, peer: peer.to_owned() };
                    let measured = measure(&cell, folder.path(), Duration::from_millis(20));
                    assert!(measured.ops_per_second > 0.0 && measured.lost == 0, "{measured:?}");
                }
            }
        }
    }
}
