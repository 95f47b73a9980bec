//! One connection, its settings, and what the server's errors mean.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Row};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::config::Config;
use super::steps::{Batch, Step};
use crate::engine::remote::{Failure, TRY, again};
use crate::error::{Error, ErrorKind};

/// The server closes a connection that was not used for so long; before that, it is not used any more.
const RESTS: Duration = Duration::from_secs(20);

/// How long a connection that is given up may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that is ready for minitransactions. Used for one at a time.
pub(super) struct Connection {
    /// There until it is dropped.
    conn: Option<Conn>,
    used: Instant,
    /// Whether the server has said that it takes no writes: then another one may have taken its place.
    is_demoted: bool,
    /// What its I/O runs on; a store may be dropped on a thread of another one.
    runtime: Handle,
}

/// Which of a batch's statements failed, and how. Those before it were carried out, those after it were not.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) at: usize,
    pub(super) error: mysql_async::Error,
}

impl Connection {
    /// Connects, and sets what every transaction relies on.
    pub(super) async fn new(config: &Config) -> Result<Self, Failure> {
        let mut conn = Conn::new(config.server.clone()).await;
        if let (Some(plain), Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))) =
            (&config.unencrypted, &conn)
        {
            conn = Conn::new(plain.clone()).await;
        }
        let conn = conn.map_err(|error| failure_of(error, "the database cannot be reached"))?;
        let mut connection = Self { conn: Some(conn), used: Instant::now(), is_demoted: false, runtime: Handle::current() };
        let unusable = |stopped: Stopped| failure_of(stopped.error, "the session cannot be set up");
        connection.query(&Batch::of(settings())).await.map_err(unusable)?;
        // A locking read is to be of what is current, not of what was so when the transaction began. Older servers do nothing else.
        match connection.query(&Batch::of("SET SESSION innodb_snapshot_isolation = OFF".to_owned())).await {
            Err(stopped) if code_of(&stopped.error) != Some(UNKNOWN_SETTING) => Err(unusable(stopped)),
            _ => Ok(connection),
        }
    }

    /// Sends a batch, and returns the rows of each statement that brings any, in order.
    pub(super) async fn query(&mut self, batch: &Batch) -> Result<Vec<Vec<Row>>, Stopped> {
        let done = self.send(batch).await;
        self.heard(done)
    }

    async fn send(&mut self, batch: &Batch) -> Result<Vec<Vec<Row>>, Stopped> {
        let conn = self.conn()?;
        let mut result = conn.query_iter(batch.text()).await.map_err(|error| Stopped { at: 0, error })?;
        let (mut sets, mut at) = (Vec::new(), 0);
        while !result.is_empty() {
            let has_rows = !result.columns_ref().is_empty();
            let rows = result.collect().await.map_err(|error| Stopped { at, error })?;
            at += 1;
            if has_rows {
                sets.push(rows);
            }
        }
        // An error of the last statement comes here.
        result.drop_result().await.map_err(|error| Stopped { at, error })?;
        Ok(sets)
    }

    /// Carries out one step of several, and returns its rows.
    pub(super) async fn step(&mut self, step: &Step<'_>) -> Result<Vec<Vec<Row>>, Stopped> {
        match step {
            Step::Batch(batch) => self.query(batch).await,
            Step::One(statement, parameters) => {
                let done = self.conn()?.exec_drop(*statement, parameters).await;
                self.heard(done.map(|()| Vec::new()).map_err(|error| Stopped { at: 0, error }))
            }
        }
    }

    fn heard<T>(&mut self, done: Result<T, Stopped>) -> Result<T, Stopped> {
        let code = done.as_ref().err().and_then(|stopped| code_of(&stopped.error));
        self.is_demoted |= code.is_some_and(takes_no_writes);
        done
    }

    fn conn(&mut self) -> Result<&mut Conn, Stopped> {
        self.conn.as_mut().ok_or(Stopped { at: 0, error: DriverError::ConnectionClosed.into() })
    }

    /// It is not used for some time now.
    pub(super) fn rests(&mut self) {
        self.used = Instant::now();
    }

    pub(super) fn is_usable(&self) -> bool {
        self.used.elapsed() < RESTS
    }

    /// Ends what a failed minitransaction has left open; false if the connection is of no more use.
    pub(super) async fn recover(&mut self) -> bool {
        !self.is_demoted && self.query(&Batch::of("ROLLBACK".to_owned())).await.is_ok()
    }
}

impl Drop for Connection {
    /// Ends the connection soon, and so the locks that it may hold. The driver by itself would first wait for the answers that are
    /// still to come.
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.runtime.spawn(async { tokio::time::timeout(FAREWELL, conn.disconnect()).await });
        }
    }
}

/// All that a session could have set differently, and that matters here.
///
/// A transaction whose client has gone must not hold its locks for longer than the client would wait; MySQL has no setting for that,
/// so there it is the time after which any connection that says nothing is closed.
fn settings() -> String {
    let (try_, rests, lock) = (TRY.as_secs(), RESTS.as_secs() * 3 / 2, TRY.as_secs().div_ceil(2));
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET SESSION TRANSACTION READ WRITE; \
         SET SESSION autocommit = 1, completion_type = 0, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
         sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0, unique_checks = 1, \
         innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {try_}, net_read_timeout = {try_}, net_write_timeout = {try_}, \
         wait_timeout = {rests} /*M! , idle_transaction_timeout = {try_}, max_statement_time = {try_} */ \
         /*!80000 , max_execution_time = {try_}000 */"
    )
}

const UNKNOWN_SETTING: u16 = 1193;
/// A commit's id, or a key that was taken for absent, is there already.
pub(super) const DUPLICATE: u16 = 1062;

pub(super) fn code_of(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

/// Whether the error says that the transaction was rolled back, also if it is the answer to a `COMMIT`: a deadlock, a lock that was
/// waited for too long, a record that has changed since.
pub(super) fn is_rolled_back(error: &mysql_async::Error) -> bool {
    matches!(code_of(error), Some(1205 | 1213 | 1020))
}

/// A replica, or another server that takes no writes.
fn takes_no_writes(code: u16) -> bool {
    matches!(code, 1290 | 1792 | 1836)
}

/// From the driver's error to ours. Again:
///
/// - no code: the network failed, unless client and server have no way to encrypt or to log in in common;
/// - `1205`, `1213`, `1020`: rolled back because of other transactions; `1062`: the commit's id is there already, so it must be looked
///   up; `1317`, `1969`, `3024`: it took too long, or an administrator has ended it; `1050`: somebody else has just made the table;
/// - `1040`, `1203`, `1226`, `1053`, `1047`, `1077`, `1079`, `1158` to `1161`, `1184`, `1927`, `4031`, `3168`: no connection, too many
///   of them, or the server is starting or stopping;
/// - what [`takes_no_writes`]; `1021`: its disk is full.
pub(super) fn failure_of(error: mysql_async::Error, message: &str) -> Failure {
    let (code, said) = match &error {
        mysql_async::Error::Server(error) => (error.code, error.message.clone()),
        mysql_async::Error::Driver(
            DriverError::NoClientSslFlagFromServer
            | DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => return Failure::Final(Error::with_source(ErrorKind::Setup, format!("{message}: {error}"), error)),
        _ => return again(message, error),
    };
    let kind = match code {
        1205 | 1213 | 1020 | 1062 | 1317 | 1969 | 3024 | 1050 => return again(message, error),
        1040 | 1203 | 1226 | 1053 | 1047 | 1077 | 1079 | 1158..=1161 | 1184 | 1927 | 4031 | 3168 => return again(message, error),
        1021 => return again(message, error),
        code if takes_no_writes(code) => return again(message, error),
        1044..=1046 | 1049 | 1054 | 1129 | 1130 | 1142 | 1143 | 1146 | 1227 | 1251 | 1698 | 3159 => ErrorKind::Setup,
        _ => ErrorKind::Engine,
    };
    Failure::Final(Error::with_source(kind, format!("{message}: {said} ({code})"), error))
}
