//! Changes told by `NOTIFY` and heard by `LISTEN`, on the channel that is called as the table.
//!
//! A transaction that notifies takes a lock for its commit that only one can have in the whole server. So commits do not: what a
//! process has committed is told by another small transaction shortly afterwards, for many commits at once.

use std::fmt::Write;
use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::config::Config;
use super::connection::{Connection, failure_of};
use crate::engine::remote::{Failure, TRY, TellsNothing, again};
use crate::engine::{RecordKey, Watchers};

/// A payload must be shorter than 8,000 bytes.
const PAYLOAD: usize = 7_900;

/// The codes of a server that does not know `LISTEN`: what it is asked for is a syntax error, or not supported, or undefined.
const UNKNOWN: [&str; 3] = ["42601", "0A000", "42883"];

/// How long nothing is heard before the connection is tried.
const QUIET: Duration = Duration::from_secs(10);

/// Tells what has been changed; whether the server can do so.
pub(super) async fn tell(connection: &Connection, table: &str, keys: &[RecordKey]) -> Result<bool, tokio_postgres::Error> {
    let hex = keys.iter().map(|key| {
        key.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    });
    let payload = hex.collect::<Vec<_>>().join(",");
    // Too much to say means that anything may have changed.
    let payload = if payload.len() > PAYLOAD { String::new() } else { payload };
    // Whether it survives a crash does not matter, so it need not wait for the disk.
    let text = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; SELECT pg_notify('{table}', '{payload}'); COMMIT"
    );
    match connection.client.batch_execute(&text).await {
        Ok(()) => Ok(true),
        Err(error) if is_unknown(&error) => {
            connection.client.batch_execute("ROLLBACK").await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Hears what others tell, until the connection ends.
pub(super) async fn listen(
    config: &Config,
    table: &str,
    watchers: &Watchers,
    is_heard: impl Fn(),
) -> Result<TellsNothing, Failure> {
    let unreachable = |error| failure_of(error, "the database cannot be reached");
    let (sender, heard) = unbounded_channel();
    let client = match &config.tls {
        None => {
            let (client, driver) = config.server.connect(NoTls).await.map_err(unreachable)?;
            tokio::spawn(drive(driver, sender));
            client
        }
        Some(tls) => {
            let (client, driver) = config.server.connect(tls.clone()).await.map_err(unreachable)?;
            tokio::spawn(drive(driver, sender));
            client
        }
    };
    match client.batch_execute(&format!("LISTEN \"{table}\"")).await {
        Ok(()) => {}
        Err(error) if is_unknown(&error) => return Ok(TellsNothing),
        Err(error) => return Err(unreachable(error)),
    }
    is_heard();
    pass_on(&client, heard, watchers).await
}

async fn pass_on(client: &Client, mut heard: UnboundedReceiver<String>, watchers: &Watchers) -> Result<TellsNothing, Failure> {
    loop {
        match tokio::time::timeout(QUIET, heard.recv()).await {
            Ok(Some(payload)) => match keys_of(&payload) {
                Some(keys) => watchers.changed(&keys),
                None => watchers.missed(),
            },
            Ok(None) => return Err(again("the connection has ended", std::io::Error::other("nothing is heard any more"))),
            Err(_) => {
                let tried = tokio::time::timeout(TRY, client.batch_execute("")).await;
                tried
                    .map_err(|elapsed| again("the server does not answer", elapsed))?
                    .map_err(|error| failure_of(error, "the database cannot be reached"))?;
            }
        }
    }
}

/// Carries on the connection, and passes on what it is told.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, sender: UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|context| {
        loop {
            match ready!(connection.poll_message(context)) {
                Some(Ok(AsyncMessage::Notification(told))) => {
                    // Nobody may be there any more.
                    let _ = sender.send(told.payload().to_owned());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
    })
    .await;
}

fn is_unknown(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| UNKNOWN.contains(&code.code()))
}

/// The keys in a payload; `None`, if it says that anything may have changed.
fn keys_of(payload: &str) -> Option<Vec<RecordKey>> {
    let key = |hex: &str| {
        let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>().map(RecordKey::new)
    };
    if payload.is_empty() { None } else { payload.split(',').map(key).collect() }
}
