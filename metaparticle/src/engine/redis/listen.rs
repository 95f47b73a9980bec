//! Changes heard by `SUBSCRIBE`: the script of a commit publishes the keys that it writes.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;

use super::connection::{Config, failure_of, stream};
use crate::engine::remote::{Failure, TRY, TellsNothing, again};
use crate::engine::{RecordKey, Watchers};

/// How long nothing is heard before the connection is tried.
const QUIET: Duration = Duration::from_secs(10);

/// The channel of the store with this prefix.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}changed")
}

/// Hears what commits publish, until the connection ends.
pub(super) async fn listen(
    config: &Config,
    prefix: &str,
    watchers: &Watchers,
    is_heard: impl Fn(),
) -> Result<TellsNothing, Failure> {
    let heard = PubSub::new(&config.settings, stream(config, &config.address).await?).await;
    let (mut sink, mut heard) = heard.map_err(failure_of)?.split();
    let channel = channel(prefix);
    sink.subscribe(&channel).await.map_err(failure_of)?;
    is_heard();
    loop {
        match tokio::time::timeout(QUIET, heard.next()).await {
            Ok(Some(message)) => match keys_of(message.get_payload_bytes()) {
                Some(keys) => watchers.changed(&keys),
                None => watchers.missed(),
            },
            Ok(None) => return Err(again("the connection has ended", std::io::Error::other("nothing is heard any more"))),
            // A second subscription to a channel changes nothing, but it is answered.
            Err(_) => tokio::time::timeout(TRY, sink.subscribe(&channel))
                .await
                .map_err(|elapsed| again("the server does not answer", elapsed))?
                .map_err(failure_of)?,
        }
    }
}

/// The keys in a message, each behind its length in two bytes; `None`, if it says that anything may have changed.
pub(crate) fn keys_of(mut message: &[u8]) -> Option<Vec<RecordKey>> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = message.split_first_chunk::<2>() {
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        keys.push(RecordKey::new(key));
        message = rest;
    }
    (!keys.is_empty() && message.is_empty()).then_some(keys)
}
