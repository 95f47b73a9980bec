//! The engine `postgres:`: records in a table of a PostgreSQL database, for several processes.
//!
//! Each minitransaction is one SERIALIZABLE transaction of plain SQL: one round trip to read, two to compare and commit. Only SQL
//! that CockroachDB and YugabyteDB document as well is used. Versions are commit ids. Beside the records there is a table of the
//! ids of the last hour's commits, by which a commit whose answer was lost is settled (see [`remote`](super::remote)).
//!
//! It is not an object-relational mapper: records are bytes, and no other program can make sense of the table.

mod config;
mod connection;
mod minitransaction;
mod notify;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use self::config::Config;
use self::connection::Connection;
use super::remote::pool::{Lease, Pool};
use super::remote::{Ask, Failure, Remote, Server, TellsNothing, Told, Turn};
use super::{Limits, RecordKey, Watchers};
use crate::error::Result;
use crate::sync::{AtomicBool, Ordering};

/// A key must fit into a page of an index three times; records are sent whole.
const LIMITS: Limits = Limits { key_bytes: 1024, record_bytes: 8 << 20, commit_bytes: 32 << 20, commit_records: 4096 };

/// Opens the store at `url`, whose server must be there within `patience`.
pub(crate) fn open(url: &str, patience: Duration) -> Result<Remote<Postgres>> {
    let config = Arc::new(Config::of(url)?);
    Remote::open(patience, move || Postgres::connect(config.clone()))
}

/// A database, and the connections to it.
pub(crate) struct Postgres {
    config: Arc<Config>,
    pool: Pool<Connection>,
    warnings: Vec<String>,
    /// Whether the server knows `NOTIFY`, as far as is known.
    notifies: AtomicBool,
}

impl Postgres {
    async fn connect(config: Arc<Config>) -> Result<Self, Failure> {
        let client = connection::client(&config).await?;
        tables::make(&client, &config.sql).await?;
        let warnings = tables::warnings(&client).await;
        let first = Connection::prepare(client, &config.sql).await?;
        let pool = Pool::new(config.connections, first);
        Ok(Self { config, pool, warnings, notifies: AtomicBool::new(true) })
    }

    async fn connection(&self) -> Result<(Connection, Lease<'_, Connection>), Failure> {
        let connect = || async { Connection::prepare(connection::client(&self.config).await?, &self.config.sql).await };
        self.pool.take(Connection::is_usable, connect).await
    }
}

impl Server for Postgres {
    async fn turn(&self) -> Option<Turn> {
        self.pool.turn().await
    }

    async fn ask(&self, ask: &Ask) -> Result<Told, Failure> {
        // Dropped when this future is, so a connection in an unknown state is never used again.
        let (connection, lease) = self.connection().await?;
        let told = minitransaction::run(&connection, ask).await;
        if told.is_ok() || connection.recover().await {
            lease.give_back(connection);
        }
        told
    }

    async fn tidy(&self) -> bool {
        let Ok((connection, lease)) = self.connection().await else { return false };
        // If it fails, the next time will do.
        let Ok(more) = tables::forget_ids(&connection, &self.config.sql).await else { return false };
        lease.give_back(connection);
        more
    }

    async fn listen(&self, watchers: &Watchers, is_heard: impl Fn() + Send + Sync) -> Result<TellsNothing, Failure> {
        notify::listen(&self.config, self.config.sql.table(), watchers, is_heard).await
    }

    const IS_TOLD: bool = true;

    async fn tell(&self, keys: &[RecordKey]) {
        if !self.notifies.load(Ordering::Relaxed) {
            return;
        }
        if let Ok((connection, lease)) = self.connection().await
            && let Ok(knows) = notify::tell(&connection, self.config.sql.table(), keys).await
        {
            self.notifies.store(knows, Ordering::Relaxed);
            lease.give_back(connection);
        }
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// What is wrong with a URL.
#[cfg(fuzzing)]
pub(crate) fn check_url(url: &str) -> Result<()> {
    Config::of(url).map(drop)
}

#[cfg(fuzzing)]
pub(crate) use self::notify::keys_of as read_message;
