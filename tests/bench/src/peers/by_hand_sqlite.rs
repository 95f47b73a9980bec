//! SQLite through rusqlite: rows with columns, a connection for each thread, prepared statements, write-ahead log.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior, params};

use super::{ACCOUNTS, Peer, Totals};
use crate::objects::{Account, Wide};

pub(super) struct Sqlite {
    path: PathBuf,
    durable: bool,
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

impl Sqlite {
    pub(super) fn open(folder: &Path, durable: bool) -> Self {
        Self { path: folder.join("sqlite"), durable }
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(&self.path).expect("SQLite opens");
        connection.busy_timeout(std::time::Duration::from_secs(60)).expect("a timeout");
        connection.pragma_update(None, "journal_mode", "WAL").expect("a log");
        // FULL syncs the log at each commit, NORMAL only at checkpoints.
        connection.pragma_update(None, "synchronous", if self.durable { "FULL" } else { "NORMAL" }).expect("a setting");
        connection
    }

    fn with<R>(&self, f: impl FnOnce(&mut Connection) -> rusqlite::Result<R>) -> R {
        CONNECTION.with_borrow_mut(|connection| f(connection.get_or_insert_with(|| self.connect())).expect("SQLite works"))
    }
}

impl Peer for Sqlite {
    fn fill(&self) {
        let columns: Vec<String> = Wide::TEXTS.iter().map(|name| format!("{name} TEXT NOT NULL")).collect();
        self.with(|connection| {
            connection.execute_batch(&format!(
                "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, owner TEXT NOT NULL, note TEXT NOT NULL, \
                 opened INTEGER NOT NULL); CREATE TABLE wide (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, {})",
                columns.join(", ")
            ))?;
            let tx = connection.transaction()?;
            for number in 0..ACCOUNTS {
                let Account { balance, owner, note, opened } = Account::new(number);
                tx.prepare_cached("INSERT INTO accounts VALUES (?, ?, ?, ?, ?)")?.execute(params![number, balance, owner, note, opened as i64])?;
            }
            let wide = Wide::new();
            let texts: Vec<String> = wide.texts().iter().map(|text| format!("'{text}'")).collect();
            tx.execute(&format!("INSERT INTO wide VALUES (0, 0, {})", texts.join(", ")), [])?;
            tx.commit()
        });
    }

    fn increment(&self) -> u64 {
        self.with(|connection| {
            connection.prepare_cached("UPDATE accounts SET balance = balance + 1 WHERE id = 0")?.execute([])?;
            Ok(0)
        })
    }

    fn transfer(&self, from: u32, to: u32) -> u64 {
        self.with(|connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.prepare_cached("UPDATE accounts SET balance = balance - 1 WHERE id = ?")?.execute([from])?;
            tx.prepare_cached("UPDATE accounts SET balance = balance + 1 WHERE id = ?")?.execute([to])?;
            tx.commit()?;
            Ok(0)
        })
    }

    fn read(&self, keys: [u32; 3]) -> i64 {
        self.with(|connection| {
            let tx = connection.transaction()?;
            let mut sum = 0;
            for key in keys {
                let row = |row: &rusqlite::Row<'_>| {
                    let account = Account {
                        balance: row.get(0)?,
                        owner: row.get(1)?,
                        note: row.get(2)?,
                        opened: row.get::<_, i64>(3)? as u64,
                    };
                    Ok(account)
                };
                let account =
                    tx.prepare_cached("SELECT balance, owner, note, opened FROM accounts WHERE id = ?")?.query_row([key], row)?;
                sum += std::hint::black_box(account).balance;
            }
            Ok(sum)
        })
    }

    fn change_field(&self) -> u64 {
        self.with(|connection| {
            connection.prepare_cached("UPDATE wide SET number = number + 1 WHERE id = 0")?.execute([])?;
            Ok(0)
        })
    }

    fn totals(&self) -> Totals {
        self.with(|connection| {
            let wide = connection.query_row("SELECT number FROM wide", [], |row| row.get::<_, i64>(0))? as u64;
            let mut accounts = connection.prepare("SELECT balance FROM accounts ORDER BY id")?;
            let balances = accounts.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(Totals { balances, wide })
        })
    }

    fn on_thread(&self, work: &mut dyn FnMut()) {
        self.with(|_| Ok(()));
        work();
    }

    fn close(self: Box<Self>) {
        CONNECTION.with_borrow_mut(|connection| *connection = None);
    }
}
