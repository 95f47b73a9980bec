//! Changes heard by etcd's watch of all records of the store.

use std::time::Duration;

use etcd_client::{WatchOptions, WatchResponse, WatchStream};

use super::Etcd;
use super::errors::Trouble;
use crate::engine::remote::{Failure, TRY, TellsNothing, again};
use crate::engine::{RecordKey, Watchers};

/// How long nothing is heard before the connection is tried.
const QUIET: Duration = Duration::from_secs(10);

/// Hears what is committed, until the connection ends.
pub(super) async fn listen(etcd: &Etcd, watchers: &Watchers, is_heard: impl Fn()) -> Result<TellsNothing, Failure> {
    let connection = etcd.link.connection().await?;
    let (first, after) = etcd.keys.records();
    let stream = connection.watch(first, WatchOptions::new().with_range(after)).await;
    // Other requests have the connection too, and find out by themselves if it breaks.
    connection.done();
    let mut stream = stream?;
    loop {
        let response = next(&mut stream).await?;
        if response.created() {
            is_heard();
        }
        if response.canceled() {
            let why = std::io::Error::other(response.cancel_reason().to_owned());
            return Err(again("etcd has ended the watch", why));
        }
        let keys = response.events().iter().filter_map(|event| etcd.keys.key_of(event.kv()?.key()));
        watchers.changed(&keys.map(RecordKey::new).collect::<Vec<_>>());
    }
}

async fn next(stream: &mut WatchStream) -> Result<WatchResponse, Failure> {
    let heard = match tokio::time::timeout(QUIET, stream.message()).await {
        Ok(heard) => heard,
        Err(_) => {
            // It is answered by a response without events.
            stream.request_progress().await.map_err(Trouble::from)?;
            let heard = tokio::time::timeout(TRY, stream.message()).await;
            heard.map_err(|elapsed| again("the server does not answer", elapsed))?
        }
    };
    let ended = || again("the connection has ended", std::io::Error::other("nothing is heard any more"));
    heard.map_err(Trouble::from)?.ok_or_else(ended)
}
