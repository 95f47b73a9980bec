//! sled, with bincode and a compare-and-swap loop; two objects at once by its transactions.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{Db, IVec};

use super::{ACCOUNTS, Peer, Totals};
use crate::objects::{Account, Wide, decode, encode};

pub(super) struct Sled {
    db: Db,
    /// sled writes to it; synced by us, because its own flush does not wait for the disk.
    file: Option<File>,
}

impl Sled {
    pub(super) fn open(folder: &Path, durable: bool) -> Self {
        let path = folder.join("sled");
        let db = reopened(&sled::Config::new().path(&path).flush_every_ms(Some(500)));
        let file = durable.then(|| File::open(path.join("db")).expect("sled's file"));
        Self { db, file }
    }

    fn done(&self) {
        if let Some(file) = &self.file {
            self.db.flush().expect("flushes");
            file.sync_data().expect("syncs");
        }
    }

    /// Compares and swaps until it succeeds.
    fn update<T: serde::Serialize + serde::de::DeserializeOwned>(&self, key: &[u8], change: impl Fn(&mut T)) -> u64 {
        let mut old: Option<IVec> = self.db.get(key).expect("reads");
        let mut retries = 0;
        loop {
            let mut object: T = decode(old.as_ref().expect("it is there"));
            change(&mut object);
            match self.db.compare_and_swap(key, old, Some(encode(&object))).expect("swaps") {
                Ok(()) => break,
                Err(changed) => old = changed.current,
            }
            retries += 1;
        }
        self.done();
        retries
    }
}

/// sled gives up its lock only some time after its last handle was dropped.
fn reopened(config: &sled::Config) -> Db {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match config.open() {
            Err(sled::Error::Io(_)) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.expect("sled opens"),
        }
    }
}

fn key(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [b'a', a, b, c, d]
}

const WIDE: &[u8] = b"wide";

impl Peer for Sled {
    fn fill(&self) {
        for number in 0..ACCOUNTS {
            self.db.insert(key(number), encode(&Account::new(number))).expect("writes");
        }
        self.db.insert(WIDE, encode(&Wide::new())).expect("writes");
        self.db.flush().expect("flushes");
    }

    fn increment(&self) -> u64 {
        self.update::<Account>(&key(0), |account| account.balance += 1)
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        let tries = std::cell::Cell::new(0);
        let transferred: Result<(), TransactionError<()>> = self.db.transaction(|tx| {
            tries.set(tries.get() + 1);
            for (number, amount) in [(from, -1), (to, 1)] {
                let bytes = tx.get(key(number))?.ok_or(ConflictableTransactionError::Abort(()))?;
                let mut account: Account = decode(&bytes);
                account.balance += amount;
                tx.insert(&key(number), encode(&account))?;
            }
            Ok(())
        });
        transferred.expect("transfers");
        self.done();
        tries.get() - 1
    }

    fn read(&self, keys: [u32; 3]) -> i64 {
        // Together, as one snapshot, is what its transactions are for.
        let read: Result<i64, TransactionError<()>> = self.db.transaction(|tx| {
            let mut sum = 0;
            for number in keys {
                let bytes = tx.get(key(number))?.ok_or(ConflictableTransactionError::Abort(()))?;
                sum += decode::<Account>(&bytes).balance;
            }
            Ok(sum)
        });
        read.expect("reads")
    }

    fn change_field(&self) -> u64 {
        self.update::<Wide>(WIDE, |wide| wide.number += 1)
    }

    fn totals(&self) -> Totals {
        let account = |number| decode::<Account>(&self.db.get(key(number)).expect("reads").expect("it is there")).balance;
        let wide: Wide = decode(&self.db.get(WIDE).expect("reads").expect("it is there"));
        Totals { balances: (0..ACCOUNTS).map(account).collect(), wide: wide.number }
    }

    fn close(self: Box<Self>) {
        self.db.flush().expect("flushes");
    }
}
