//! redb: one writer at a time, readers beside it.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{ACCOUNTS, Change, Peer, Totals};
use crate::objects::{Account, Wide, decode, encode};

const TABLE: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("accounts");
const WIDE: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("wide");

pub(super) struct Redb {
    db: Database,
    durability: Durability,
}

impl Redb {
    pub(super) fn open(folder: &Path, durable: bool) -> Self {
        let db = Database::create(folder.join("redb")).expect("redb opens");
        Self { db, durability: if durable { Durability::Immediate } else { Durability::None } }
    }

    fn update<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        table: TableDefinition<'_, u32, &'static [u8]>,
        changes: &[Change<'_, T>],
        durability: Durability,
    ) {
        let mut tx = self.db.begin_write().expect("begins");
        tx.set_durability(durability).expect("durability");
        {
            let mut table = tx.open_table(table).expect("a table");
            for (key, change) in changes {
                let mut object: T = decode(table.get(key).expect("reads").expect("it is there").value());
                change(&mut object);
                table.insert(key, &*encode(&object)).expect("writes");
            }
        }
        tx.commit().expect("commits");
    }
}

impl Peer for Redb {
    fn fill(&self) {
        let tx = self.db.begin_write().expect("begins");
        {
            let mut table = tx.open_table(TABLE).expect("a table");
            for number in 0..ACCOUNTS {
                table.insert(number, &*encode(&Account::new(number))).expect("writes");
            }
            tx.open_table(WIDE).expect("a table").insert(0, &*encode(&Wide::new())).expect("writes");
        }
        tx.commit().expect("commits");
    }

    fn increment(&self) -> u64 {
        self.update::<Account>(TABLE, &[(0, &|account| account.balance += 1)], self.durability);
        0
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        let changes: [Change<'_, Account>; 2] = [(from, &|account| account.balance -= 1), (to, &|account| account.balance += 1)];
        self.update::<Account>(TABLE, &changes, self.durability);
        0
    }

    fn read(&self, keys: [u32; 3]) -> i64 {
        let tx = self.db.begin_read().expect("begins");
        let table = tx.open_table(TABLE).expect("a table");
        keys.iter().map(|key| decode::<Account>(table.get(key).expect("reads").expect("it is there").value()).balance).sum()
    }

    fn change_field(&self) -> u64 {
        self.update::<Wide>(WIDE, &[(0, &|wide| wide.number += 1)], self.durability);
        0
    }

    fn totals(&self) -> Totals {
        let tx = self.db.begin_read().expect("begins");
        let table = tx.open_table(TABLE).expect("a table");
        let account = |key: u32| decode::<Account>(table.get(key).expect("reads").expect("it is there").value()).balance;
        let wide = tx.open_table(WIDE).expect("a table");
        let wide: Wide = decode(wide.get(0).expect("reads").expect("it is there").value());
        Totals { balances: (0..ACCOUNTS).map(account).collect(), wide: wide.number }
    }

    fn close(self: Box<Self>) {
        self.update::<Account>(TABLE, &[], Durability::Immediate);
    }
}
