//! What is done with accounts through metaparticle's macros.

use std::ops::Range;

use metaparticle::{Ref, Result, Store, Tx, transactional};

use crate::objects::Account;

/// So many fit into one commit of the engine, and take little memory.
const PART: usize = 1000;

#[transactional]
fn insert(tx: &Tx, numbers: Range<u32>) -> Result<()> {
    numbers.into_iter().try_for_each(|number| tx.insert(number, Account::new(number)))
}

#[transactional]
pub(crate) fn increment(account: &mut Account) -> Result<()> {
    account.balance += 1;
    Ok(())
}

#[transactional(read_only)]
pub(crate) fn look(account: Ref<Account>) -> Result<i64> {
    Ok(account.balance)
}

#[transactional(read_only)]
fn total(tx: &Tx, numbers: Range<u32>) -> Result<Total> {
    let mut total = Total::default();
    for account in tx.range::<Account>(numbers) {
        total.count += 1;
        total.sum += account?.1.balance;
    }
    Ok(total)
}

/// How many accounts there are, and the sum of their balances.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Total {
    pub(crate) count: u32,
    pub(crate) sum: i64,
}

fn parts(count: u32) -> impl Iterator<Item = Range<u32>> {
    (0..count).step_by(PART).map(move |start| start..count.min(start.saturating_add(PART as u32)))
}

/// Makes so many accounts, and waits until they are on disk.
pub(crate) fn fill(store: &Store, count: u32) -> Result<()> {
    store.run(|| parts(count).try_for_each(insert))?;
    store.flush()
}

/// Reads so many accounts.
pub(crate) fn read_all(store: &Store, count: u32) -> Result<Total> {
    let mut all = Total::default();
    for part in parts(count) {
        let Total { count, sum } = store.run(|| total(part))?;
        all = Total { count: all.count + count, sum: all.sum + sum };
    }
    Ok(all)
}
