//! What is given away is durable first: on an engine whose disk waits until it is told to go on.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use metaparticle::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp};
use metaparticle::{Durability, Error, ErrorKind, Result, Store, conformance, transactional};

use crate::{Counter, count, increment};

/// An engine in memory with a disk that confirms nothing until it is released.
struct SlowDisk {
    memory: Box<dyn Engine>,
    disk: Arc<Disk>,
}

struct Disk {
    released: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    /// Told each time that somebody waits.
    asked: Mutex<Sender<()>>,
}

impl Disk {
    fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
        self.waiting.lock().expect("no panic").drain(..).for_each(Waker::wake);
    }
}

impl Engine for SlowDisk {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        match self.memory.execute(request) {
            // Everything in it may be lost, so everything told has to wait.
            Answer::Ready(reply) => Answer::Ready(reply.map(|reply| Reply { durable_at: reply.stamp, ..reply })),
            later => later,
        }
    }
    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        match self.memory.scan(compare, range, limit) {
            Answer::Ready(page) => Answer::Ready(page.map(|page| Page { durable_at: page.stamp, ..page })),
            later => later,
        }
    }
    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        self.memory.watch(compare)
    }
    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        if stamp == Stamp(0) {
            return Answer::Ready(Ok(()));
        }
        Answer::Later(Box::pin(poll_fn(|context| {
            self.disk.waiting.lock().expect("no panic").push(context.waker().clone());
            if self.disk.released.load(Ordering::SeqCst) {
                return Poll::Ready(Ok(()));
            }
            // Nobody listens once the test has seen what it wants.
            let _ = self.disk.asked.lock().expect("no panic").send(());
            Poll::Pending
        })))
    }
    fn limits(&self) -> Limits {
        self.memory.limits()
    }
}

fn slow_store() -> (Store, Arc<Disk>, Receiver<()>) {
    slow_store_with(Durability::Immediate)
}

fn slow_store_with(durability: Durability) -> (Store, Arc<Disk>, Receiver<()>) {
    let (asked, waits) = channel();
    let disk = Arc::new(Disk { released: AtomicBool::new(true), waiting: Mutex::default(), asked: Mutex::new(asked) });
    let engine = SlowDisk { memory: conformance::memory_engine(), disk: disk.clone() };
    let store = Store::builder("slow:").durability(durability).open_engine(engine);
    store.run(|| increment("n")).expect("increments");
    disk.released.store(false, Ordering::SeqCst);
    (store, disk, waits)
}

/// That `call` does not return before the disk has confirmed.
fn is_held_back<R: Send>(call: impl FnOnce(&Store) -> R + Send) -> R {
    is_held_back_in(slow_store(), call)
}

fn is_held_back_in<R: Send>((store, disk, waits): (Store, Arc<Disk>, Receiver<()>), call: impl FnOnce(&Store) -> R + Send) -> R {
    let returned = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let result = call(&store);
            returned.store(true, Ordering::SeqCst);
            result
        });
        waits.recv_timeout(Duration::from_secs(20)).expect("the disk is waited for");
        assert!(!returned.load(Ordering::SeqCst), "it returned before the disk had confirmed");
        disk.release();
        thread.join().expect("no panic")
    })
}

#[test]
fn a_commit_is_acknowledged_when_it_is_durable() {
    assert_eq!(is_held_back(|store| store.run(|| increment("n"))).expect("increments"), 2);
}

#[test]
fn what_was_read_is_given_away_when_it_is_durable() {
    assert_eq!(is_held_back(|store| store.run(|| count("n"))).expect("counts"), 1);
}

#[test]
fn a_range_that_was_read_is_given_away_when_it_is_durable() {
    let keys =
        |store: &Store| store.transaction(|tx| Ok::<_, Error>(tx.keys::<crate::Counter>(..).filter(Result::is_ok).count()));
    assert_eq!(is_held_back(keys).expect("counts"), 1);
}

#[test]
fn what_a_watch_tells_is_durable_also_where_transactions_do_not_wait() {
    let told = is_held_back_in(slow_store_with(Durability::Eventual), |store| store.watch::<crate::Counter>("n").next());
    assert_eq!(told.expect("a state").expect("reads").object.map(|counter| counter.n), Some(1));
}

#[test]
fn an_error_that_may_tell_of_what_was_read_is_given_away_when_it_is_durable() {
    let error = is_held_back(|store| {
        store.transaction(|tx| {
            let n = tx.get::<crate::Counter>("n")?.n;
            Err::<(), _>(Error::engine(ErrorKind::Engine, format!("it was {n}")))
        })
    });
    assert!(error.expect_err("it fails").to_string().contains("it was 1"));
}

#[test]
fn effects_run_when_the_commit_is_durable() {
    let (store, disk, waits) = slow_store();
    let ran = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let effect = ran.clone();
        let transaction = move || {
            store.transaction(|tx| {
                let effect = effect.clone();
                tx.after_commit(move || effect.store(true, Ordering::SeqCst));
                tx.get_mut::<crate::Counter>("n")?.n += 1;
                metaparticle::Ok(())
            })
        };
        let thread = scope.spawn(transaction);
        waits.recv_timeout(Duration::from_secs(20)).expect("the disk is waited for");
        assert!(!ran.load(Ordering::SeqCst), "the effect ran before the disk had confirmed");
        disk.release();
        thread.join().expect("no panic").expect("commits");
    });
    assert!(ran.load(Ordering::SeqCst));
}

#[test]
fn with_eventual_durability_nobody_waits() {
    let (store, disk, waits) = slow_store();
    let options = metaparticle::TransactionOptions::new().durability(Durability::Eventual);
    let changed = store.transaction_with(options, |tx| {
        tx.get_mut::<crate::Counter>("n")?.n += 1;
        metaparticle::Ok(())
    });
    changed.expect("commits");
    assert!(waits.try_recv().is_err(), "the disk was waited for");
    disk.release();
}

#[transactional(durability = immediate)]
fn increment_surely(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

#[transactional(durability = eventual)]
fn increment_soon(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

#[test]
fn a_function_waits_as_it_says_and_not_as_its_store_does() {
    let eventual = slow_store_with(Durability::Eventual);
    assert_eq!(is_held_back_in(eventual, |store| store.run(|| increment_surely("n"))).expect("increments"), 2);
    let (store, disk, waits) = slow_store_with(Durability::Immediate);
    assert_eq!(store.run(|| increment_soon("n")).expect("increments"), 2);
    assert!(waits.try_recv().is_err(), "the disk was waited for");
    disk.release();
}

#[test]
fn a_disk_that_never_confirms_is_an_error_that_says_what_is_not_known() {
    let (store, disk, _waits) = slow_store();
    let options = metaparticle::TransactionOptions::new().timeout(Duration::from_millis(500));
    let error = store.transaction_with(options, |tx| {
        tx.get_mut::<crate::Counter>("n")?.n += 1;
        metaparticle::Ok(())
    });
    let error = error.expect_err("the disk does not answer");
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    assert!(!error.is_retryable() && error.to_string().contains("not known"), "{error}");
    disk.release();
}

#[test]
fn a_record_whose_disk_never_confirms_is_an_error_that_says_what_is_not_known() {
    use metaparticle::engine::RecordKey;
    use metaparticle::inspect::{Change, Inspector};
    let (asked, _waits) = channel();
    let disk = Arc::new(Disk { released: AtomicBool::new(false), waiting: Mutex::default(), asked: Mutex::new(asked) });
    let engine = SlowDisk { memory: conformance::memory_engine(), disk };
    let store = Store::builder("slow:").timeout(Duration::from_millis(500)).open_engine(engine);
    let inspector = Inspector::new(&store);
    let error = inspector.update(&RecordKey::new(*b"a"), |_| Ok(Change::Write(vec![1])));
    assert_eq!(error.expect_err("the disk does not answer").kind(), ErrorKind::Indeterminate);
}

/// It may have commits that the library does not have.
#[test]
fn a_store_whose_journal_is_gone_is_refused() {
    for engine in ["sled", "fjall"] {
        let folder = metaparticle_tests::folder();
        let path = folder.path().join("store");
        let url = format!("{engine}:{}", path.display());
        let store = Store::open(&url).expect("opens");
        store.run(|| crate::increment("n")).expect("increments");
        drop(store);
        let kept = folder.path().join("kept");
        std::fs::rename(path.join("journal"), &kept).expect("moves");
        let error = Store::open(&url).expect_err("its journal is gone");
        assert!(error.is_corrupt() && error.to_string().contains("journal"), "{error}");
        std::fs::rename(&kept, path.join("journal")).expect("moves");
        let store = Store::open(&url).expect("opens again");
        assert_eq!(store.run(|| crate::increment("n")).expect("increments"), 2);
    }
}
