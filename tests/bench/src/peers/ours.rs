//! metaparticle, through its public macros.

use metaparticle::{Durability, Ref, Result, Store, transactional};

use super::{ACCOUNTS, Peer, Totals};
use crate::accounts::{fill, increment, look};
use crate::objects::{Account, Wide};

pub(crate) struct Ours {
    store: Store,
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
    pub(crate) fn open(url: &str, durability: Durability) -> Self {
        Self { store: Store::builder(url).durability(durability).open().expect("a store") }
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
        fill(&self.store, ACCOUNTS).expect("fills");
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

    fn totals(&self) -> Totals {
        let balances = self.store.run(|| (0..ACCOUNTS).map(look).collect::<Result<_>>()).expect("reads");
        let wide = self.store.transaction(|tx| tx.get::<Wide>(0).map(|wide| wide.number)).expect("reads");
        Totals { balances, wide }
    }
}
