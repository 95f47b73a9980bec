//! A model of an engine behind a network: it answers later, and several stores can share it, as those of several processes do.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use metaparticle::Result;
use metaparticle::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp, Subscription};

/// A connection to the engine.
#[derive(Clone)]
pub(crate) struct Network(Arc<dyn Engine>);

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(metaparticle::schedule::memory()))
    }
}

/// The time that a message takes: whoever waits for it is woken, and others may go on before.
async fn message() {
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The answer of an engine, which is there at once or waited for.
async fn answer<T>(answer: Answer<'_, T>) -> Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(future) | Answer::Committing(future) => future.await,
    }
}

impl Engine for Network {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        let reply = Box::pin(async move {
            message().await;
            let reply = answer(self.0.execute(request)).await;
            message().await;
            reply
        });
        if request.write.is_empty() { Answer::Later(reply) } else { Answer::Committing(reply) }
    }

    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        Answer::Later(Box::pin(async move {
            message().await;
            let page = answer(self.0.scan(compare, range, limit)).await;
            message().await;
            page
        }))
    }

    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        self.0.watch(compare)
    }

    fn subscribe(&self, ranges: &[KeyRange]) -> Subscription {
        self.0.subscribe(ranges)
    }

    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        self.0.durable(stamp)
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }
}
