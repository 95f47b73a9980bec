//! Where a scenario takes place: a store on the model of an engine.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaparticle::schedule::Disk;
use metaparticle::{Result, Store, StoreBuilder, TransactionOptions, Tx};
use shuttle::rand::{RngCore, thread_rng};

use super::network::Network;

/// Longer than any execution takes.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);

/// What all executions have done; no part of any schedule.
pub(crate) static COMMITS: AtomicU64 = AtomicU64::new(0);
pub(crate) static RERUNS: AtomicU64 = AtomicU64::new(0);
pub(crate) static REBASES: AtomicU64 = AtomicU64::new(0);

/// A number below `bound`, from the schedule.
pub(crate) fn below(bound: usize) -> usize {
    (thread_rng().next_u64() % bound as u64) as usize
}

/// One of these, from the schedule.
pub(crate) fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[below(choices.len())]
}

/// A store, counted when it is left.
#[derive(Debug)]
pub(crate) struct Place(User);

/// Whoever uses the store of a place.
#[derive(Clone, Debug)]
pub(crate) struct User(pub(crate) Store);

impl Place {
    fn new(store: Store) -> Self {
        Self(User(store))
    }

    /// On any engine.
    pub(crate) fn any() -> Self {
        if below(3) == 0 { Self::on_network(&Network::new()) } else { Self::embedded() }
    }

    /// On one that is in this process.
    pub(crate) fn embedded() -> Self {
        if below(3) == 0 { Self::new(settings().open().expect("opens")) } else { Self::on_disk(&disk()) }
    }

    pub(crate) fn on_disk(disk: &Disk) -> Self {
        let flush_interval = one_of(&[Duration::ZERO, Duration::from_micros(500), FOR_EVER]);
        Self::new(settings().open_engine(disk.open(one_of(&[0, 1 << 16]), flush_interval).expect("opens")))
    }

    pub(crate) fn on_network(network: &Network) -> Self {
        Self::new(settings().open_engine(network.clone()))
    }

    pub(crate) fn user(&self) -> User {
        self.0.clone()
    }
}

impl Deref for Place {
    type Target = User;

    fn deref(&self) -> &User {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let stats = self.0.0.stats();
        COMMITS.fetch_add(stats.commits, Ordering::Relaxed);
        RERUNS.fetch_add(stats.reruns, Ordering::Relaxed);
        REBASES.fetch_add(stats.rebases, Ordering::Relaxed);
    }
}

impl User {
    /// A transaction, on this thread or in a future.
    pub(crate) fn transaction<R>(&self, body: impl Fn(&Tx) -> Result<R>) -> Result<R> {
        self.transaction_with(TransactionOptions::new(), body)
    }

    /// The same, with options.
    pub(crate) fn transaction_with<R>(&self, options: TransactionOptions, body: impl Fn(&Tx) -> Result<R>) -> Result<R> {
        match below(3) {
            0 => shuttle::future::block_on(self.0.transaction_async_with(options, body)),
            _ => self.0.transaction_with(options, body),
        }
    }

    /// A transaction that must succeed.
    pub(crate) fn run<R>(&self, body: impl Fn(&Tx) -> Result<R>) -> R {
        self.transaction(body).unwrap_or_else(|error| panic!("refused: {error}"))
    }

    /// The same, of a transaction that changes nothing.
    pub(crate) fn read<R>(&self, body: impl Fn(&Tx) -> Result<R>) -> R {
        let options = if below(2) == 0 { TransactionOptions::new().read_only() } else { TransactionOptions::new() };
        self.transaction_with(options, body).unwrap_or_else(|error| panic!("refused: {error}"))
    }
}

/// The settings are those of every program, but for the name that errors show.
fn settings() -> StoreBuilder {
    Store::builder("memory:")
}

/// A disk whose map follows its log at once, a little later, or when it is closed.
pub(crate) fn disk() -> Disk {
    Disk::new(one_of(&[64 << 20, 16 << 20, 0]))
}
