//! The jobs that are measured, and how long one takes.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use metaparticle::Durability;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::figures::{Figure, Figures};
use crate::peers::{ACCOUNTS, Peer, Totals, keeps};
use crate::usage::usage;
use crate::work::{Workers, random_of, work};

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
        .with(Figure::Lost, lost(cell, &work.each, &found) as f64))
}

/// How far all that is there is from what so many operations of each thread make of it.
fn lost(cell: &Cell, each: &[u64], found: &Totals) -> u64 {
    if cell.peer.starts_with("limit") {
        return 0;
    }
    let expected = expected(cell.job, each);
    let missing = expected.balances.len().abs_diff(found.balances.len()) as u64;
    let balances = expected.balances.iter().zip(&found.balances).map(|(expected, found)| expected.abs_diff(*found));
    missing + balances.sum::<u64>() + expected.wide.abs_diff(found.wide)
}

/// Chooses once more what each thread has chosen, so that nothing need be noted while the time is taken.
fn expected(job: Job, each: &[u64]) -> Totals {
    let mut totals = Totals { balances: vec![0; ACCOUNTS as usize], wide: 0 };
    for (thread, done) in each.iter().enumerate() {
        let mut random = random_of(thread);
        match job {
            Job::J1 | Job::J2 => totals.balances[0] += *done as i64,
            Job::J3 => (0..*done).for_each(|_| {
                let (from, to) = two_accounts(&mut random);
                totals.balances[from as usize] -= 1;
                totals.balances[to as usize] += 1;
            }),
            Job::J4 => {}
            Job::J5 => totals.wide += done,
        }
    }
    totals
}

fn two_accounts(random: &mut fastrand::Rng) -> (u32, u32) {
    let from = random.u32(..ACCOUNTS);
    (from, (from + random.u32(1..ACCOUNTS)) % ACCOUNTS)
}

fn operation(peer: &dyn Peer, job: Job, random: &mut fastrand::Rng) -> u64 {
    match job {
        Job::J1 | Job::J2 => peer.increment(),
        Job::J3 => {
            let (from, to) = two_accounts(random);
            peer.transfer(from, to)
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
    fn a_transfer_that_is_lost_or_made_twice_is_noticed() {
        let cell = Cell { job: Job::J3, mode: Mode::Durable, threads: 2, peer: PEERS[0].to_owned() };
        let [all, less, more] = [[7, 5], [7, 4], [8, 5]].map(|each| expected(Job::J3, &each));
        assert_eq!([&all, &less, &more].map(|found| lost(&cell, &[7, 5], found)), [0, 2, 2]);
    }

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
