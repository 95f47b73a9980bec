//! One connection, its settings and prepared statements, and what the server's errors mean.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::Config;
use super::tables::Sql;
use crate::engine::remote::{Failure, TRY, again};
use crate::error::{Error, ErrorKind};

/// A connection that is ready for minitransactions. Used for one at a time.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) records: Statement,
    pub(super) keys: Statement,
    pub(super) page: Statement,
    pub(super) id: Statement,
    pub(super) claim: Statement,
    pub(super) write: Statement,
    pub(super) remove: Statement,
}

/// Connects to the first host that will do, beginning with the last one that did. `told` is given what this connection is notified of.
pub(super) async fn connect(config: &Config, told: impl Fn(&str) + Clone + Send + Sync + 'static) -> Result<Client, Failure> {
    let (first, hosts) = (config.current.load(Ordering::Relaxed), config.hosts.len());
    let mut failed = None;
    for host in (first..first + hosts).map(|n| n % hosts) {
        let connecting = connect_to(&config.hosts[host], config.tls.as_ref(), told.clone());
        let connected = tokio::time::timeout(config.patience, connecting).await;
        let failure = match connected.unwrap_or_else(|elapsed| Err(again("the server does not answer", elapsed))) {
            Ok(client) => return Ok(client),
            Err(failure) => failure,
        };
        // Unless somebody else has gone on from it already.
        let _ = config.current.compare_exchange(host, (host + 1) % hosts, Ordering::Relaxed, Ordering::Relaxed);
        // As long as one of them may come to do, it is worth another try.
        failed = match (failed, failure) {
            (Some(Failure::Again(error)), Failure::Final(_)) => Some(Failure::Again(error)),
            (_, failure) => Some(failure),
        };
    }
    Err(failed.unwrap_or_else(|| Failure::Final(Error::new(ErrorKind::Setup, "the URL names no host"))))
}

async fn connect_to(
    host: &tokio_postgres::Config,
    tls: Option<&MakeRustlsConnect>,
    told: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Client, Failure> {
    match tls {
        None => {
            let (client, driver) = host.connect(NoTls).await.map_err(unreachable)?;
            tokio::spawn(drive(driver, told));
            Ok(client)
        }
        Some(tls) => {
            let (client, driver) = host.connect(tls.clone()).await.map_err(unreachable)?;
            tokio::spawn(drive(driver, told));
            Ok(client)
        }
    }
}

/// Carries on the connection until it ends.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, told: impl Fn(&str))
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|context| {
        loop {
            match ready!(connection.poll_message(context)) {
                Some(Ok(AsyncMessage::Notification(notification))) => told(notification.payload()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
    })
    .await;
}

pub(super) fn unreachable(error: tokio_postgres::Error) -> Failure {
    failure_of(error, "the database cannot be reached")
}

/// Connects, and sets what every transaction relies on.
pub(super) async fn client(config: &Config) -> Result<Client, Failure> {
    let client = connect(config, |_| {}).await?;
    let millis = TRY.as_millis();
    // A transaction whose client has gone must not hold its locks for longer than the client would wait.
    let settings = format!(
        "SET default_transaction_isolation = 'serializable'; SET statement_timeout = {millis}; SET lock_timeout = {millis}; \
         SET idle_in_transaction_session_timeout = {millis}"
    );
    client.batch_execute(&settings).await.map_err(unreachable)?;
    // Reading all of a small table would count as having read every record, and conflict with every other transaction.
    // A commit is to be on disk when it is answered. Servers that do not know these settings need neither.
    let _ = client.batch_execute("SET enable_seqscan = off").await;
    let synchronous = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
    let _ = client.batch_execute(synchronous).await;
    Ok(client)
}

impl Connection {
    pub(super) async fn prepare(client: Client, sql: &Sql) -> Result<Self, Failure> {
        let texts = [&sql.records, &sql.keys, &sql.page, &sql.id, &sql.claim, &sql.write, &sql.remove];
        let mut statements = Vec::with_capacity(texts.len());
        for text in texts {
            statements.push(client.prepare(text).await.map_err(|error| failure_of(error, "the tables cannot be used"))?);
        }
        let unusual = |_| Failure::Final(Error::new(ErrorKind::Engine, "a statement is missing"));
        let [records, keys, page, id, claim, write, remove] = statements.try_into().map_err(unusual)?;
        Ok(Self { client, records, keys, page, id, claim, write, remove })
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed()
    }

    /// Ends what a failed minitransaction has left open; false if the connection is of no more use.
    pub(super) async fn recover(&self) -> bool {
        self.is_usable() && self.client.batch_execute("ROLLBACK").await.is_ok()
    }
}

/// Whether the error says that the transaction was rolled back. Other errors leave open what became of a commit.
pub(super) fn is_rolled_back(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
    error.code().is_some_and(|code| codes.contains(code))
}

/// From the driver's error to ours. Again:
///
/// - no code: the network failed;
/// - class 40: rolled back because of other transactions (`40001`, `40P01`), or not known (`40003`); `55P03`, `57014`: a lock or an
///   answer took too long; `23505`: the commit's id is there already, so it must be looked up;
/// - classes 08, 53, 57: no connection, too many of them, or the server is starting or stopping; `25006`: a standby.
pub(super) fn failure_of(error: tokio_postgres::Error, message: &str) -> Failure {
    let Some(code) = error.code().map(|code| code.code().to_owned()) else { return again(message, error) };
    let passes = matches!(&*code, "55P03" | "23505" | "25006") || matches!(&code[..2], "08" | "40" | "53" | "57");
    if passes {
        return again(message, error);
    }
    let kind = if matches!(&code[..2], "28" | "3D" | "42") { ErrorKind::Setup } else { ErrorKind::Engine };
    let said = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    Failure::Final(Error::with_source(kind, format!("{message}: {said} ({code})"), error))
}
