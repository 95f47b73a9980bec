//! metaparticle, through its public macros.

use std::path::Path;

use metaparticle::{Durability, Ref, Result, Store, transactional};

use super::{ACCOUNTS, Peer};
use crate::objects::{Account, Wide};

pub(super) struct Ours {
    store: Store,
}

#[transactional]
fn increment(account: &mut Account) -> Result<()> {
    account.balance += 1;
    Ok(())
}

#[transactional]
fn transfer(from: &mut Account, to: &mut Account) -> Result<()> {
    from.balance -= 1;
    to.balance += 1;
    Ok(())
}

#[transactional(read_only)]
fn read(one: Ref<Account>, two: Ref<Account>, three: Ref<Account>) -> Result<i64> {
    Ok(one.balance + two.balance + three.balance)
}

#[transactional]
fn change_field(wide: &mut Wide) -> Result<()> {
    wide.number += 1;
    Ok(())
}

impl Ours {
    pub(super) fn open(folder: &Path, durable: bool) -> Self {
        let durability = if durable { Durability::Immediate } else { Durability::Eventual };
        let path = folder.join("store");
        let store = Store::builder(path.to_str().expect("a plain path")).durability(durability).open().expect("a store");
        Self { store }
    }
}

impl Peer for Ours {
    fn on_thread(&self, work: &mut dyn FnMut()) {
        self.store.run(work);
    }

    fn retries(&self) -> u64 {
        self.store.stats().reruns
    }

    fn fill(&self) {
        for part in (0..ACCOUNTS).collect::<Vec<_>>().chunks(1000) {
            let fill = |tx: &metaparticle::Tx| part.iter().try_for_each(|key| tx.insert(*key, Account::new(*key)));
            self.store.transaction(fill).expect("fills");
        }
        self.store.transaction(|tx| tx.insert(0, Wide::new())).expect("fills");
        self.store.flush().expect("flushes");
    }

    fn increment(&self) -> u64 {
        increment(0).expect("increments");
        0
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        transfer(from, to).expect("transfers");
        0
    }

    fn read(&self, [one, two, three]: [u32; 3]) -> i64 {
        read(one, two, three).expect("reads")
    }

    fn change_field(&self) -> u64 {
        change_field(0).expect("changes");
        0
    }

    fn totals(&self) -> (i64, i64, u64) {
        self.store
            .transaction(|tx| {
                let sum = (0..ACCOUNTS).map(|key| Ok(tx.get::<Account>(key)?.balance)).sum::<Result<i64>>()?;
                metaparticle::Ok((tx.get::<Account>(0)?.balance, sum, tx.get::<Wide>(0)?.number))
            })
            .expect("reads")
    }
}
