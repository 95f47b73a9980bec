//! What is promised to users, and the mistakes on record of others, as tests. Each runs on every engine.

mod atomic;
mod bounded;
mod conflicts;
mod durable;
mod evolution;
mod failed_disk;
mod isolation;
mod nested;
mod rebase;
mod sharing;
mod unchanged;
mod waiting;

use metaparticle::{Result, persistent, transactional};

/// A number, by text.
#[persistent(default)]
pub(crate) struct Counter {
    n: u64,
}

/// An account that must be opened before it is used.
#[persistent]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    balance: i64,
}

/// An object with parts that change independently of each other.
#[persistent(default)]
pub(crate) struct Page {
    visits: u64,
    title: String,
    tags: Vec<String>,
}

#[transactional]
pub(crate) fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

#[transactional]
pub(crate) fn count(counter: metaparticle::Ref<Counter>) -> Result<u64> {
    Ok(counter.n)
}

#[transactional]
pub(crate) fn transfer(from: &mut Account, to: &mut Account, amount: i64) -> Result<()> {
    from.balance -= amount;
    to.balance += amount;
    Ok(())
}
