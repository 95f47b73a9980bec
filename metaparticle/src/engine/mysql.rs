//! The engine `mysql:`: records in a table of a MariaDB or MySQL database, for several processes.
//!
//! Each minitransaction is one InnoDB transaction of plain SQL: one round trip to read, at most two to compare and commit. It is made
//! serializable by locks: whatever is compared is read with a lock that lasts until the commit, ranges with the gaps in them.
//! Versions are commit ids. Beside the records there is a table of the ids of the last hour's commits, by which a commit whose answer
//! was lost is settled (see [`remote`](super::remote)).

mod config;
mod connection;
mod look;
mod minitransaction;
mod settings;
mod sql;
mod steps;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use self::config::Config;
use self::connection::Connection;
use super::Limits;
use super::remote::pool::{Lease, Pool};
use super::remote::{Ask, Failure, Remote, Server, Told, Turn};
use crate::error::Result;

/// Opens the store at `url`, whose server must be there within `patience`.
pub(crate) fn open(url: &str, patience: Duration) -> Result<Remote<Mysql>> {
    let config = Arc::new(Config::of(url)?);
    Remote::open(patience, move || Mysql::connect(config.clone()))
}

/// A database, and the connections to it.
pub(crate) struct Mysql {
    config: Arc<Config>,
    pool: Pool<Connection>,
    limits: Limits,
    warnings: Vec<String>,
}

impl Mysql {
    async fn connect(config: Arc<Config>) -> Result<Self, Failure> {
        let mut first = Connection::new(&config).await?;
        let limits = settings::limits(&mut first).await?;
        let warnings = settings::warnings(&mut first).await;
        tables::make(&mut first, &config.sql).await?;
        let pool = Pool::new(config.connections, first);
        Ok(Self { config, pool, limits, warnings })
    }

    async fn connection(&self) -> Result<(Connection, Lease<'_, Connection>), Failure> {
        self.pool.take(Connection::is_usable, || Connection::new(&self.config)).await
    }
}

fn give_back(mut connection: Connection, lease: Lease<'_, Connection>) {
    connection.rests();
    lease.give_back(connection);
}

impl Server for Mysql {
    async fn turn(&self) -> Option<Turn> {
        self.pool.turn().await
    }

    async fn ask(&self, ask: &Ask) -> Result<Told, Failure> {
        // Dropped when this future is, so a connection in an unknown state is never used again.
        let (mut connection, lease) = self.connection().await?;
        let told = minitransaction::run(&mut connection, &self.config.sql, ask).await;
        if told.is_ok() || connection.recover().await {
            give_back(connection, lease);
        }
        told
    }

    async fn tidy(&self) -> bool {
        let Ok((mut connection, lease)) = self.connection().await else { return false };
        // If it fails, the next time will do.
        let Ok(more) = tables::forget_ids(&mut connection, &self.config.sql).await else { return false };
        give_back(connection, lease);
        more
    }

    fn limits(&self) -> Limits {
        self.limits
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
pub(crate) fn read_rows(rows: Vec<Vec<mysql_async::Row>>, ask: &Ask) -> Result<Option<super::remote::Found>, Failure> {
    let sql = sql::Sql::of("fuzzing");
    look::Look::new(ask, &sql, false).found(rows).map(|(found, _)| Some(found))
}

#[cfg(fuzzing)]
pub(crate) fn read_settings(row: mysql_async::Row) {
    let _ = settings::limits_of(settings::words(row));
}
