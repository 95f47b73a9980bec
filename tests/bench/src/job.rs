//! The jobs that are measured, and how long one takes.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use metaparticle::Durability;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::figures::{Figure, Figures};
use crate::peers::{ACCOUNTS, Peer, keeps};
use crate::usage::usage;
use crate::work::{Workers, work};

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

impl Mode {
    pub(crate) fn durability(self) -> Durability {
        match self {
            Self::Relaxed => Durability::Eventual,
            Self::Durable => Durability::Immediate,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// One peer at one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) job: Job,
    pub(crate) mode: Mode,
    pub(crate) threads: usize,
    pub(crate) peer: String,
}

/// Measures one cell in this process, on what `open` opens.
pub(crate) fn measure(cell: &Cell, open: impl Fn() -> Box<dyn Peer>, length: Duration, with_latencies: bool) -> Result<Figures> {
    let peer = open();
    peer.fill();
    let before = usage();
    let workers = Workers { threads: cell.threads, length, with_latencies };
    let work = work(workers, |work| peer.on_thread(work), |random| Ok(operation(&*peer, cell.job, random)))?;
    let retries = work.retries + peer.retries();
    let found = if keeps(&cell.peer) {
        peer.close();
        let reopened = open();
        let totals = reopened.totals();
        reopened.close();
        totals
    } else {
        peer.totals()
    };
    let after = usage();
    Ok(Figures::of(&work)
        .with(Figure::RetriesPerCommit, retries as f64 / work.done as f64)
        .with(Figure::BytesPerOp, (after.written - before.written) as f64 / work.done as f64)
        .with(Figure::PeakMib, after.peak_mib())
        .with(Figure::Lost, lost(cell, work.done, found) as f64))
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
    use crate::peers::{PEERS, open, takes_part};

    #[test]
    fn every_peer_takes_part_and_loses_nothing() {
        for peer in PEERS {
            for (job, mode) in [(Job::J1, Mode::Durable), (Job::J3, Mode::Relaxed), (Job::J5, Mode::Relaxed)] {
                let threads = if job == Job::J3 { 2 } else { 1 };
                if takes_part(peer, job, mode, threads) {
                    let folder = tempfile::tempdir().expect("a folder");
                    let cell = Cell { job, mode, threads, peer: peer.to_owned() };
                    let measured = measure(&cell, || open(peer, folder.path(), mode), Duration::from_millis(20), false);
                    let figures = measured.expect("figures");
                    assert!(figures.get(Figure::OpsPerSecond) > Some(0.0) && !figures.has_lost(), "{cell:?}: {figures:?}");
                }
            }
        }
    }
}
