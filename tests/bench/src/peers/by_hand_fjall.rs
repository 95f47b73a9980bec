//! fjall, with its optimistic transactions.

use std::path::Path;

use fjall::{KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticTxKeyspace, PersistMode, Readable};

use super::{ACCOUNTS, Change, Peer, Totals};
use crate::objects::{Account, Wide, decode, encode};

pub(super) struct Fjall {
    db: OptimisticTxDatabase,
    objects: OptimisticTxKeyspace,
    durable: bool,
}

const WIDE: u32 = u32::MAX;

impl Fjall {
    pub(super) fn open(folder: &Path, durable: bool) -> Self {
        let db = OptimisticTxDatabase::builder(folder.join("fjall")).open().expect("fjall opens");
        let objects = db.keyspace("objects", KeyspaceCreateOptions::default).expect("a keyspace");
        Self { db, objects, durable }
    }

    fn update<T: serde::Serialize + serde::de::DeserializeOwned>(&self, changes: &[Change<'_, T>]) -> u64 {
        let mut retries = 0;
        loop {
            let mode = if self.durable { Some(PersistMode::SyncData) } else { None };
            let mut tx = self.db.write_tx().expect("begins").durability(mode);
            for (key, change) in changes {
                let key = key.to_be_bytes();
                let mut object: T = decode(&tx.get(&self.objects, key).expect("reads").expect("it is there"));
                change(&mut object);
                tx.insert(&self.objects, key, encode(&object));
            }
            if tx.commit().expect("commits").is_ok() {
                return retries;
            }
            retries += 1;
        }
    }
}

impl Peer for Fjall {
    fn fill(&self) {
        for number in 0..ACCOUNTS {
            self.objects.insert(number.to_be_bytes(), encode(&Account::new(number))).expect("writes");
        }
        self.objects.insert(WIDE.to_be_bytes(), encode(&Wide::new())).expect("writes");
        self.db.persist(PersistMode::SyncData).expect("syncs");
    }

    fn increment(&self) -> u64 {
        self.update::<Account>(&[(0, &|account| account.balance += 1)])
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        self.update::<Account>(&[(from, &|account| account.balance -= 1), (to, &|account| account.balance += 1)])
    }

    fn read(&self, keys: [u32; 3]) -> i64 {
        let snapshot = self.db.read_tx();
        let account = |key: u32| snapshot.get(&self.objects, key.to_be_bytes()).expect("reads").expect("it is there");
        keys.iter().map(|key| decode::<Account>(&account(*key)).balance).sum()
    }

    fn change_field(&self) -> u64 {
        self.update::<Wide>(&[(WIDE, &|wide| wide.number += 1)])
    }

    fn totals(&self) -> Totals {
        let snapshot = self.db.read_tx();
        let bytes = |key: u32| snapshot.get(&self.objects, key.to_be_bytes()).expect("reads").expect("it is there");
        let account = |key| decode::<Account>(&bytes(key)).balance;
        Totals { balances: (0..ACCOUNTS).map(account).collect(), wide: decode::<Wide>(&bytes(WIDE)).number }
    }

    fn close(self: Box<Self>) {
        self.db.persist(PersistMode::SyncAll).expect("syncs");
    }
}
