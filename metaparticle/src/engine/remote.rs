//! What engines behind a network share: the thread that does the I/O, and an [`Engine`] made of a [`Server`].
//!
//! A server only has to carry out one request once, in one atomic step, and to say what it knows when that fails. Time-outs,
//! trying again, and finding out what became of a commit whose answer was lost are [`settle`]'s. The I/O runs on a thread of its
//! own, so a caller can wait on any thread, also on one of an executor, and what was sent is settled also if nobody waits any more.

mod listen;
pub(crate) mod options;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pool;
mod settle;
#[cfg(any(feature = "etcd", feature = "redis"))]
pub(crate) mod shared;
pub(crate) mod tls;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::listen::Listener;
#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
pub(crate) use self::listen::TellsNothing;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use self::settle::Turn;
pub(crate) use self::settle::{Ask, Failure, Found, Server, Told, again};
use super::{Answer, Engine, KeyRange, Limits, Page, RecordKey, Reply, Request, Seen, Stamp, Subscription, Version};
use crate::clock::SystemClock;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::block_on;

/// How long the outcome of one request is tried for. Whoever waits may give up earlier.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one try may take: what takes longer counts as lost, and is tried again on another connection.
pub(crate) const TRY: Duration = Duration::from_secs(5);

/// Longer than anybody waits.
const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// How long commit ids are kept, at the least: longer than anything sent within [`PATIENCE`] can be on its way.
pub(crate) const IDS_KEPT: Duration = Duration::from_secs(3600);

/// After which pause it goes on forgetting them, if there are many: others use the server, too.
const TIDY_SOON: Duration = Duration::from_secs(1);

/// An engine whose records are on a server.
pub(crate) struct Remote<S> {
    server: Arc<S>,
    listener: Arc<Listener<S>>,
}

impl<S: Server> Remote<S> {
    /// An engine on the server that `connect` finds, which must be there within `patience`.
    pub(crate) fn open<F>(patience: Duration, connect: impl Fn() -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Result<S, Failure>> + Send,
    {
        // Who would wait for ever waits for as long as the clock can tell.
        let now = Instant::now();
        let deadline = now.checked_add(patience).unwrap_or(now + LONG);
        let server = spawn(async move {
            let server = settle::until_there(connect, deadline).await?;
            let more = tidy(&server).await;
            Ok((server, more))
        })?;
        // It ends by its own deadline.
        let server = block_on(server, &SystemClock::default(), None);
        let (server, more) = server.unwrap_or_else(|| Err(ended()))?;
        let server = Arc::new(server);
        runtime()?.spawn(keep_tidy(Arc::downgrade(&server), more));
        Ok(Self { listener: Arc::new(Listener::new(server.clone())), server })
    }

    /// The outcome of `ask`, the version of what it has written, and when that was. Nothing is sent before this is first polled; what
    /// may have been carried out from then on is settled, also if this is dropped.
    async fn ask(&self, ask: Ask) -> Result<((Version, Stamp), Found)> {
        let (server, listener) = (self.server.clone(), self.listener.clone());
        let caller = Arc::new(());
        let waits = Arc::downgrade(&caller);
        let outcome = async move {
            let written: Vec<RecordKey> = ask.write.iter().map(|write| write.key.clone()).collect();
            let (at, found) = settle::settle(&*server, ask, Instant::now() + PATIENCE, || waits.strong_count() > 0).await?;
            if !written.is_empty() && found.differs.is_empty() {
                listener.tell(written);
            }
            Ok((at, found))
        };
        let outcome = spawn(outcome)?.await;
        drop(caller);
        outcome
    }
}

impl<S: Server> Engine for Remote<S> {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        let commits = !request.write.is_empty();
        let reply = Box::pin(async move {
            let ((version, stamp), found) = self.ask(Ask::of(&request)).await?;
            let version = (commits && found.differs.is_empty()).then_some(version);
            Ok(Reply { read: found.read, differs: found.differs, version, stamp, durable_at: Stamp(0) })
        });
        if commits { Answer::Committing(reply) } else { Answer::Later(reply) }
    }

    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        Answer::Later(Box::pin(async move {
            let ((_, stamp), Found { differs, mut page, .. }) = self.ask(Ask::page(compare, range, limit)).await?;
            if !differs.is_empty() {
                page.clear();
            }
            let full = page.len() >= limit;
            let end = page.last().filter(|_| full).map_or_else(|| range.end.clone(), |(key, _)| key.next());
            let range = KeyRange { start: range.start.clone(), end };
            Ok(Page { records: page, range, differs, stamp, durable_at: Stamp(0) })
        }))
    }

    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        Answer::Later(Box::pin(async move {
            // First subscribed, then compared: a change in between is told.
            let subscription = self.subscribe(&compare.watched());
            loop {
                let (_, found) = self.ask(Ask::compare(compare)).await?;
                if !found.differs.is_empty() {
                    return Ok(());
                }
                subscription.next_within(subscription.check()).await;
            }
        }))
    }

    fn subscribe(&self, ranges: &[KeyRange]) -> Subscription {
        let subscription = self.listener.watchers().subscribe(ranges.to_vec());
        self.listener.listen();
        subscription
    }

    fn durable(&self, _stamp: Stamp) -> Answer<'_, ()> {
        // A server answers a commit once it is as durable as its settings make it.
        Answer::Ready(Ok(()))
    }

    fn limits(&self) -> Limits {
        self.server.limits()
    }

    fn warnings(&self) -> Vec<String> {
        self.server.warnings()
    }
}

/// Has the server forget old commits as long as it is used: now and then, and soon if there are more of them.
async fn keep_tidy<S: Server>(server: Weak<S>, mut more: bool) {
    loop {
        tokio::time::sleep(if more { TIDY_SOON } else { IDS_KEPT / 6 }).await;
        let Some(server) = server.upgrade() else { return };
        more = tidy(&*server).await;
    }
}

/// Has the server forget old commits, some at a time, for as long as one try; whether there may be more of them. If the server does not
/// get to it in time, the next time will do.
async fn tidy<S: Server>(server: &S) -> bool {
    let end = Instant::now() + TRY;
    while Instant::now() < end {
        let _turn = server.turn().await;
        if !tokio::time::timeout(TRY, server.tidy()).await.unwrap_or(false) {
            return false;
        }
    }
    true
}

/// The one thread that does the I/O of all engines of this process. It lasts as long as the process.
fn runtime() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Result<Runtime, Arc<std::io::Error>>> = OnceLock::new();
    let start = || Builder::new_multi_thread().worker_threads(1).thread_name("metaparticle-io").enable_all().build();
    match RUNTIME.get_or_init(|| start().map_err(Arc::new)) {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(Error::with_source(ErrorKind::Engine, "the thread for network I/O does not start", error.clone())),
    }
}

/// Runs `future` on the I/O thread, to its end even if nobody waits for it.
fn spawn<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<Answered<T>> {
    let (sender, receiver) = oneshot::channel();
    runtime()?.spawn(async move {
        // Nobody may be waiting any more.
        let _ = sender.send(future.await);
    });
    Ok(Answered(receiver))
}

/// What a future on the I/O thread comes to; can be waited for anywhere.
struct Answered<T>(oneshot::Receiver<Result<T>>);

impl<T> Future for Answered<T> {
    type Output = Result<T>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(ended())))
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Indeterminate, "the network I/O of this process has ended, so what became of the request is not known")
}
