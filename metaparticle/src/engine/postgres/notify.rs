//! Changes told by `NOTIFY` and heard by `LISTEN`, on the channel that is called as the table.
//!
//! A transaction that notifies takes a lock for its commit that only one can have in the whole server. So commits do not: what a
//! process has committed is told by another small transaction shortly afterwards, for many commits at once.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::Client;

use super::config::Config;
use super::connection::{self, Connection};
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
    let payload = keys.iter().map(|key| hex::encode(&**key)).collect::<Vec<_>>().join(",");
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
    let (sender, heard) = unbounded_channel();
    let told = move |payload: &str| {
        // Nobody may be there any more.
        let _ = sender.send(payload.to_owned());
    };
    let client = connection::connect(config, told).await?;
    match client.batch_execute(&format!("LISTEN \"{table}\"")).await {
        Ok(()) => {}
        Err(error) if is_unknown(&error) => return Ok(TellsNothing),
        Err(error) => return Err(connection::unreachable(error)),
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
                tried.map_err(|elapsed| again("the server does not answer", elapsed))?.map_err(connection::unreachable)?;
            }
        }
    }
}

fn is_unknown(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| UNKNOWN.contains(&code.code()))
}

/// The keys in a payload; `None`, if it says that anything may have changed.
pub(crate) fn keys_of(payload: &str) -> Option<Vec<RecordKey>> {
    let key = |text: &str| hex::decode(text).ok().map(RecordKey::new);
    if payload.is_empty() { None } else { payload.split(',').map(key).collect() }
}
