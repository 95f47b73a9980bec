//! What a transaction is told when the disk fails: nothing that is not durable gets out, and no guess about what was committed.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metaparticle::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp};
use metaparticle::{Durability, Error, ErrorKind, Store, TransactionOptions, conformance};

use crate::{Counter, count, increment};

/// Memory, with a disk behind it that nothing reaches once it is broken.
struct FailingDisk {
    memory: Box<dyn Engine>,
    broken: Arc<AtomicBool>,
    /// Whether it says nothing when it is broken, rather than that it is.
    is_silent: bool,
}

impl Engine for FailingDisk {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        match self.memory.execute(request) {
            Answer::Ready(reply) => Answer::Ready(reply.map(|reply| Reply { durable_at: reply.stamp, ..reply })),
            later => later,
        }
    }

    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        self.memory.scan(compare, range, limit)
    }

    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        self.memory.watch(compare)
    }

    fn durable(&self, _: Stamp) -> Answer<'_, ()> {
        match (self.broken.load(Ordering::Relaxed), self.is_silent) {
            (false, _) => Answer::Ready(Ok(())),
            (true, false) => Answer::Ready(Err(Error::engine(ErrorKind::Engine, "the disk is broken"))),
            (true, true) => Answer::Later(Box::pin(std::future::pending())),
        }
    }

    fn limits(&self) -> Limits {
        self.memory.limits()
    }
}

/// A store with a counter at 1, and what breaks its disk.
fn store() -> (Store, Arc<AtomicBool>) {
    store_on(false)
}

fn store_on(is_silent: bool) -> (Store, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let store = Store::with_engine(FailingDisk { memory: conformance::memory_engine(), broken: broken.clone(), is_silent });
    assert_eq!(store.run(|| increment("n")).expect("increments"), 1);
    (store, broken)
}

#[test]
fn a_commit_that_the_disk_did_not_take_is_indeterminate() {
    let (store, broken) = store();
    broken.store(true, Ordering::Relaxed);
    let error = store.run(|| increment("n")).expect_err("it is not on disk");
    assert!(error.is_indeterminate() && !error.is_retryable(), "{error:?}");
    assert!(error.to_string().starts_with("`increment` has been committed"), "{error}");
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the disk is broken"));
}

#[test]
fn a_disk_that_is_late_is_told_apart_for_who_has_written_and_who_has_only_read() {
    let (store, gone) = store_on(true);
    gone.store(true, Ordering::Relaxed);
    let options = || TransactionOptions::new().timeout(Duration::from_millis(500));
    let written = store.transaction_with(options(), |tx| {
        tx.get_mut::<Counter>("n")?.n += 1;
        metaparticle::Ok(())
    });
    let written = written.expect_err("it is not on disk");
    assert!(written.is_indeterminate(), "{written:?}");
    assert!(written.to_string().contains("the disk did not confirm it before the deadline"), "{written}");
    let refuse = |tx: &metaparticle::Tx| Err::<u64, _>(Error::engine(ErrorKind::Limit, tx.get::<Counter>("n")?.n.to_string()));
    let read = |tx: &metaparticle::Tx| metaparticle::Ok(tx.get::<Counter>("n")?.n);
    for told in [
        store.transaction_with(options(), read),
        store.transaction_with(options(), refuse),
        pollster::block_on(store.transaction_async_with(options(), read)),
        pollster::block_on(store.transaction_async_with(options(), refuse)),
    ] {
        let told = told.expect_err("what was read may be lost");
        assert_eq!(told.kind(), ErrorKind::Timeout, "{told:?}");
        assert!(told.to_string().contains("has read what the disk did not confirm"), "{told}");
    }
}

#[test]
fn what_was_read_does_not_get_out_before_it_is_durable() {
    let (store, broken) = store();
    broken.store(true, Ordering::Relaxed);
    let eventual = TransactionOptions::new().durability(Durability::Eventual);
    let write = |tx: &metaparticle::Tx| {
        tx.get_mut::<Counter>("n")?.n = 2;
        metaparticle::Ok(())
    };
    store.transaction_with(eventual, write).expect("nobody waits for the disk");
    let told = store.run(|| count("n")).expect_err("what was read may be lost");
    assert_eq!((told.kind(), told.to_string().as_str()), (ErrorKind::Engine, "the disk is broken"));
    let refuse = |tx: &metaparticle::Tx| -> Result<(), Box<dyn std::error::Error>> {
        Err(format!("it is {} already", tx.get::<Counter>("n")?.n).into())
    };
    let told = store.transaction(refuse).expect_err("it refuses");
    assert_eq!(told.to_string(), "the disk is broken", "an error told what may be lost");
    let told = pollster::block_on(store.transaction_async(|tx| metaparticle::Ok(tx.get::<Counter>("n")?.n)));
    assert_eq!(told.expect_err("what was read may be lost").to_string(), "the disk is broken", "in a future");
    let told = pollster::block_on(store.transaction_async(refuse)).expect_err("it refuses");
    assert_eq!(told.to_string(), "the disk is broken", "an error told what may be lost, in a future");
}

#[test]
fn a_commit_in_a_future_that_the_disk_did_not_take_is_indeterminate() {
    let (store, broken) = store();
    broken.store(true, Ordering::Relaxed);
    let write = |tx: &metaparticle::Tx| {
        tx.get_mut::<Counter>("n")?.n = 2;
        metaparticle::Ok(())
    };
    let error = pollster::block_on(store.transaction_async(write)).expect_err("it is not on disk");
    assert!(error.is_indeterminate() && !error.is_retryable(), "{error:?}");
}

#[test]
fn a_flush_makes_sure_that_everything_is_durable() {
    let (store, broken) = store();
    store.flush().expect("the disk takes it");
    let eventual = TransactionOptions::new().durability(Durability::Eventual);
    broken.store(true, Ordering::Relaxed);
    store.transaction_with(eventual, |tx| tx.insert("other", Counter { n: 1 })).expect("nobody waits for the disk");
    assert_eq!(store.flush().expect_err("it is not on disk").to_string(), "the disk is broken");
}
