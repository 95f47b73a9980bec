//! What changes, as server-sent events: on every instance, whichever of them changes it.
//!
//! Each stream has watches of its own, which are asked only as fast as the browser reads. They tell states, so a slow browser
//! skips some, but is never left with an old one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{AppendHeaders, IntoResponse};
use futures_util::stream::{BoxStream, select_all};
use futures_util::{Stream, StreamExt};
use metaparticle::{Change, Persistent, Store};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::failure::Failure;
use crate::model::{Account, Entry, Visits, first_of_last};

/// How many streams there may be at once. Each compares all that it shows with the store every few seconds.
const STREAMS: usize = 200;

/// How many entries of the guestbook are shown at first.
const ENTRIES: u64 = 20;

/// What streams are made of.
#[derive(Clone)]
pub(crate) struct Live {
    store: Store,
    free: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Live {
    /// Streams that end when `stopping` says so.
    pub(crate) fn new(store: Store, stopping: watch::Receiver<bool>) -> Self {
        Self { store, free: Arc::new(Semaphore::new(STREAMS)), stopping }
    }
}

/// First everything as it is, then what changes. Each event is one line of JSON.
pub(crate) async fn stream(State(live): State<Live>) -> Result<impl IntoResponse, Failure> {
    let place = live.free.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
    let first = first_of_last(ENTRIES).await?;
    let all = [
        events(
            live.store.watch_all::<Visits>(),
            |user, visits| json!({ "kind": "visits", "key": user, "count": visits.map(|visits| visits.count) }),
        ),
        events(
            live.store.watch_all::<Account>(),
            |user, account| json!({ "kind": "account", "key": user, "balance": account.map(|account| account.balance) }),
        ),
        events(live.store.watch_range::<Entry>(first..), |number, entry| {
            let entry = entry.map(|entry| json!({ "guest": entry.guest, "text": entry.text, "seconds": entry.seconds }));
            json!({ "kind": "entry", "key": number, "entry": entry })
        }),
    ];
    let mut stopping = live.stopping;
    let events = select_all(all).take_until(async move { stopping.wait_for(|stopping| *stopping).await.is_ok() });
    let events = events.map(move |event| {
        // The place is free again when the stream is dropped.
        let _ = &place;
        Ok::<_, Infallible>(Event::default().data(event.to_string()))
    });
    // nginx would otherwise keep events until it has many.
    Ok((AppendHeaders([("x-accel-buffering", "no")]), Sse::new(events).keep_alive(KeepAlive::default())))
}

/// The states of a watch as JSON. What cannot be read is told as well, and the rest goes on.
fn events<T: Persistent + Send + 'static>(
    watch: impl Stream<Item = metaparticle::Result<Change<T>>> + Send + 'static,
    show: impl Fn(T::Key, Option<T>) -> Value + Send + 'static,
) -> BoxStream<'static, Value> {
    let events = watch.map(move |change| match change {
        Ok(Change { key, object }) => show(key, object),
        Err(error) => {
            let failure = Failure::Store(error);
            failure.log();
            json!({ "kind": "trouble", "error": failure.sentence() })
        }
    });
    events.boxed()
}
