//! What is measured: each does the same jobs as its users would write them.

mod by_hand_fjall;
mod by_hand_redb;
mod by_hand_sled;
mod by_hand_sqlite;
mod in_memory;
mod limits;
pub(crate) mod ours;

use std::path::Path;

use crate::job::Mode;

/// How many accounts there are.
pub(crate) const ACCOUNTS: u32 = if cfg!(test) { 200 } else { 10_000 };

/// What all that was done has come to.
pub(crate) struct Totals {
    /// Of all accounts, by their numbers.
    pub(crate) balances: Vec<i64>,
    /// The wide object's number.
    pub(crate) wide: u64,
}

/// One way of doing the jobs. Each call of a job is one operation; it returns how often it had to be tried again.
pub(crate) trait Peer: Send + Sync {
    /// Makes all objects.
    fn fill(&self);

    /// Adds one to account 0.
    fn increment(&self) -> u64;

    /// Moves one from an account to another.
    fn transfer(&self, from: u32, to: u32) -> u64;

    /// The sum of three accounts, read together.
    fn read(&self, keys: [u32; 3]) -> i64;

    /// Adds one to the number of the wide object.
    fn change_field(&self) -> u64;

    /// What is there.
    fn totals(&self) -> Totals;

    /// Does the work of one thread, with what it has to have for that.
    fn on_thread(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// How often something was tried again, beside what the operations have returned.
    fn retries(&self) -> u64 {
        0
    }

    /// Ends as a program ends normally.
    fn close(self: Box<Self>) {}
}

/// The key of an object, and what is done to it.
type Change<'a, T> = (u32, &'a dyn Fn(&mut T));

/// All peers, in the order of the tables.
pub(crate) const PEERS: [&str; 11] = [
    "metaparticle",
    "metaparticle-fjall",
    "sled",
    "redb",
    "sqlite",
    "fjall",
    "stm",
    "mutex",
    "limit-log",
    "limit-fdatasync",
    "limit-encode",
];

/// Whether this peer can do this at all.
pub(crate) fn takes_part(peer: &str, job: crate::job::Job, mode: Mode, threads: usize) -> bool {
    use crate::job::Job;
    match peer {
        "stm" | "mutex" => mode == Mode::Relaxed,
        "limit-log" => mode == Mode::Durable && matches!(job, Job::J1 | Job::J3),
        "limit-fdatasync" => mode == Mode::Durable && job == Job::J1 && threads == 1,
        "limit-encode" => mode == Mode::Relaxed && job == Job::J1,
        _ => true,
    }
}

/// Opens a peer on what is in `folder`.
pub(crate) fn open(peer: &str, folder: &Path, mode: Mode) -> Box<dyn Peer> {
    let durable = mode == Mode::Durable;
    let ours = |engine| Box::new(ours::Ours::open(&format!("{engine}:{}", folder.join("store").display()), mode.durability()));
    match peer {
        "metaparticle" => ours("sled"),
        "metaparticle-fjall" => ours("fjall"),
        "sled" => Box::new(by_hand_sled::Sled::open(folder, durable)),
        "redb" => Box::new(by_hand_redb::Redb::open(folder, durable)),
        "sqlite" => Box::new(by_hand_sqlite::Sqlite::open(folder, durable)),
        "fjall" => Box::new(by_hand_fjall::Fjall::open(folder, durable)),
        "stm" => Box::new(in_memory::Stm::new()),
        "mutex" => Box::new(in_memory::Locked::new()),
        "limit-log" => Box::new(limits::Log::open(folder)),
        "limit-fdatasync" => Box::new(limits::Overwrite::open(folder)),
        "limit-encode" => Box::new(limits::Encode::new()),
        _ => panic!("no peer is called {peer}"),
    }
}

/// Whether it keeps what it does, so that it can be looked at again after reopening.
pub(crate) fn keeps(peer: &str) -> bool {
    matches!(peer, "metaparticle" | "metaparticle-fjall" | "sled" | "redb" | "sqlite" | "fjall")
}
