//! References that keep nothing: software transactional memory, and a map behind a lock.

use std::collections::HashMap;

use parking_lot::Mutex;
use stm::{TVar, atomically};

use super::{ACCOUNTS, Peer, Totals};
use crate::objects::{Account, Wide};

pub(super) struct Stm {
    accounts: Vec<TVar<Account>>,
    wide: TVar<Wide>,
}

impl Stm {
    pub(super) fn new() -> Self {
        Self { accounts: (0..ACCOUNTS).map(|number| TVar::new(Account::new(number))).collect(), wide: TVar::new(Wide::new()) }
    }
}

impl Peer for Stm {
    fn fill(&self) {}

    fn increment(&self) -> u64 {
        atomically(|tx| {
            let mut account = self.accounts[0].read(tx)?;
            account.balance += 1;
            self.accounts[0].write(tx, account)
        });
        0
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        atomically(|tx| {
            for (key, amount) in [(from, -1), (to, 1)] {
                let mut account = self.accounts[key as usize].read(tx)?;
                account.balance += amount;
                self.accounts[key as usize].write(tx, account)?;
            }
            Ok(())
        });
        0
    }

    fn read(&self, keys: [u32; 3]) -> i64 {
        atomically(|tx| {
            let mut sum = 0;
            for key in keys {
                sum += self.accounts[key as usize].read(tx)?.balance;
            }
            Ok(sum)
        })
    }

    fn change_field(&self) -> u64 {
        atomically(|tx| {
            let mut wide = self.wide.read(tx)?;
            wide.number += 1;
            self.wide.write(tx, wide)
        });
        0
    }

    fn totals(&self) -> Totals {
        let balances = self.accounts.iter().map(|account| account.read_atomic().balance).collect();
        Totals { balances, wide: self.wide.read_atomic().number }
    }
}

pub(super) struct Locked {
    accounts: Mutex<HashMap<u32, Account>>,
    wide: Mutex<Wide>,
}

impl Locked {
    pub(super) fn new() -> Self {
        let accounts = (0..ACCOUNTS).map(|number| (number, Account::new(number))).collect();
        Self { accounts: Mutex::new(accounts), wide: Mutex::new(Wide::new()) }
    }

    fn add(accounts: &mut HashMap<u32, Account>, key: u32, amount: i64) {
        accounts.get_mut(&key).expect("it is there").balance += amount;
    }
}

impl Peer for Locked {
    fn fill(&self) {}

    fn increment(&self) -> u64 {
        Self::add(&mut self.accounts.lock(), 0, 1);
        0
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        let mut accounts = self.accounts.lock();
        Self::add(&mut accounts, from, -1);
        Self::add(&mut accounts, to, 1);
        0
    }

    fn read(&self, keys: [u32; 3]) -> i64 {
        let accounts = self.accounts.lock();
        keys.iter().map(|key| accounts[key].balance).sum()
    }

    fn change_field(&self) -> u64 {
        self.wide.lock().number += 1;
        0
    }

    fn totals(&self) -> Totals {
        let accounts = self.accounts.lock();
        Totals { balances: (0..ACCOUNTS).map(|key| accounts[&key].balance).collect(), wide: self.wide.lock().number }
    }
}
