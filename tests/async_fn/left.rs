//! What a group of commits has left when it has ended: not to be taken for more than it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use futures_util::future::poll_fn;
use metaparticle::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp};
use metaparticle::{Clock, ErrorKind, ManualClock, Result, Store, TransactionOptions, Tx, conformance, persistent};

use crate::group::{Running, hold, poll, started, wait};
use crate::later::Later;
use crate::{Counter, increment};

/// A store whose time stands still, so that what a group has left stays at hand.
fn stopped(engine: impl Engine) -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let given: Arc<dyn Clock> = clock.clone();
    (Store::builder("an engine").clock(given).open_engine(engine), clock)
}

fn twice() -> TransactionOptions {
    TransactionOptions::new().attempts(2)
}

#[test]
fn what_a_group_has_left_and_others_have_changed_is_not_read_again() {
    let (_, other, calls, engine) = Later::with_engine();
    let (store, clock) = stopped(engine);
    for both in [false, true] {
        let key = format!("n{both}");
        hold(&store, &calls);
        let mut first = started(&store, increment(key.clone()));
        // Whoever has won keeps going for some time, which is a multiple of this.
        clock.advance(Duration::from_secs(1));
        calls.release_all();
        assert_eq!(pollster::block_on(&mut first).expect("increments"), 1);
        assert_eq!(pollster::block_on(other.scope(increment(key.clone()))).expect("increments"), 2);
        let read = store.transaction_with(twice(), |tx| {
            let n = tx.get::<Counter>(&*key)?.n;
            if both {
                tx.get::<Counter>("another")?;
            }
            metaparticle::Ok(n)
        });
        assert_eq!(read.expect("the second attempt asks the engine"), 2);
    }
}

#[test]
fn what_a_group_has_lost_to_is_not_taken_for_current_by_who_comes_later() {
    let (store, other, calls) = Later::two_stores();
    hold(&store, &calls);
    let mut first = started(&store, increment("n"));
    let set = |n| move |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n = n);
    let (hooks, competitor) = (calls.clone(), other.clone());
    calls.before_commit(move || {
        competitor.transaction(set(50)).expect("sets");
        // The group will be told that it has lost. It asks what the object is, and does not have the answer yet.
        hooks.hold_next_read();
    });
    calls.release_all();
    while !calls.holds_a_read() {
        assert!(poll(&mut first).is_pending());
    }
    other.transaction(set(70)).expect("sets");
    // This begins after the other has returned, and writes nothing where there are many.
    let fill = |tx: &Tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        if counter.n < 10 {
            counter.n += 1;
        }
        Ok(counter.n)
    };
    let mut late: Running<u64> = Box::pin(async move { store.transaction_async(fill).await });
    wait(&mut late);
    drop(first);
    calls.give_the_read();
    assert_eq!(pollster::block_on(late).expect("fills"), 70, "what it saw was old before it began");
}

/// Attempts `body` in a future and in a thread, both of which have to wait then.
fn in_both(store: &Store, body: fn(&Tx) -> Result<u64>) -> (Running<u64>, JoinHandle<Result<u64>>) {
    let of_store = store.clone();
    let mut future: Running<u64> = Box::pin(async move { of_store.transaction_async(body).await });
    wait(&mut future);
    let of_store = store.clone();
    let attempted = store.stats().attempts;
    let thread = std::thread::spawn(move || of_store.transaction(body));
    while store.stats().attempts == attempted {
        std::thread::yield_now();
    }
    (future, thread)
}

#[test]
fn an_error_of_the_end_of_an_attempt_is_not_given_out_before_what_it_tells_of() {
    let (store, other, calls) = Later::two_stores();
    hold(&store, &calls);
    let first = started(&store, increment("n"));
    let large = |tx: &Tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        if counter.n < 100 {
            counter.title = "x".repeat(1 << 20);
        }
        Ok(counter.n)
    };
    let (future, thread) = in_both(&store, large);
    let change = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n = 100);
    calls.before_commit(move || other.transaction(change).expect("changes"));
    calls.release_all();
    for told in [pollster::block_on(future), thread.join().expect("no panic")] {
        assert!(told.expect("it is not too large any more") >= 100);
    }
    assert!(pollster::block_on(first).expect("increments") >= 100);
    // An error because of what is so is told.
    let error = store.transaction(|tx| {
        tx.get_mut::<Counter>("n")?.title = "x".repeat(1 << 20);
        metaparticle::Ok(())
    });
    assert_eq!(error.expect_err("it is too large").kind(), ErrorKind::Limit);
}

/// Cannot be stored when it is set.
#[derive(serde::Deserialize, Default)]
struct Refused(bool);

impl serde::Serialize for Refused {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            true => Err(serde::ser::Error::custom("it is refused")),
            false => serializer.serialize_newtype_struct("Refused", &self.0),
        }
    }
}

#[persistent(default)]
struct Note {
    n: u64,
    refused: Refused,
}

#[test]
fn what_cannot_be_stored_is_not_told_before_what_it_tells_of() {
    let (store, other, calls) = Later::two_stores();
    let add = |tx: &Tx| tx.get_mut::<Note>("n").map(|mut note| note.n += 1);
    let fill = |tx: &Tx| {
        let mut note = tx.get_mut::<Note>("n")?;
        note.refused = Refused(note.n < 100);
        Ok(note.n)
    };
    store.transaction(add).expect("adds");
    hold(&store, &calls);
    let of_store = store.clone();
    let mut first: Running<()> = Box::pin(async move { of_store.transaction_async(add).await });
    wait(&mut first);
    let (future, thread) = in_both(&store, fill);
    let change = |tx: &Tx| tx.get_mut::<Note>("n").map(|mut note| note.n = 100);
    calls.before_commit(move || other.transaction(change).expect("changes"));
    calls.release_all();
    for told in [pollster::block_on(future), thread.join().expect("no panic")] {
        assert!(told.expect("it can be stored by now") >= 100);
    }
    pollster::block_on(first).expect("adds");
}

#[test]
fn a_scan_that_did_not_take_place_ends_the_attempt() {
    let (store, calls) = Later::store();
    hold(&store, &calls);
    let first = started(&store, increment("n"));
    let options = TransactionOptions::new().timeout(Duration::from_millis(100));
    let read = store.transaction_with(options, |tx| {
        let n = tx.get::<Counter>("n")?.n;
        // The error is swallowed.
        metaparticle::Ok((n, tx.keys::<Counter>(..).flatten().count()))
    });
    assert_eq!(read.expect_err("the commit that it read from is held").kind(), ErrorKind::Timeout);
    calls.release_all();
    assert_eq!(pollster::block_on(first).expect("increments"), 1);
}

#[test]
fn who_came_while_somebody_looked_is_woken() {
    #[derive(Default)]
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (store, calls) = Later::store();
    pollster::block_on(store.scope(increment("another"))).expect("increments");
    let second: Arc<Mutex<Option<Running<u64>>>> = Arc::default();
    let woken: Arc<Woken> = Arc::default();
    let (begun, of_store, waker) = (second.clone(), store.clone(), Waker::from(woken.clone()));
    calls.when_woken(move || {
        let mut future: Running<u64> = Box::pin(of_store.scope(increment("n")));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        *begun.lock().expect("no panic") = Some(future);
    });
    let mut first: Running<u64> = Box::pin(store.scope(increment("n")));
    let mut ended = false;
    while second.lock().expect("no panic").is_none() {
        assert!(!ended, "nobody came while it was looked at");
        ended = poll(&mut first).is_ready();
    }
    drop(first);
    assert!(woken.0.load(Ordering::SeqCst), "nobody would ever look again");
    let second = second.lock().expect("no panic").take().expect("it has begun");
    assert_eq!(pollster::block_on(second).expect("increments"), 2);
}

#[test]
fn a_panic_of_the_engine_is_for_one_only() {
    let (store, calls) = Later::store();
    hold(&store, &calls);
    let (mut first, second) = (started(&store, increment("n")), started(&store, increment("n")));
    calls.before_commit(|| panic!("planned"));
    calls.release_all();
    assert!(catch_unwind(AssertUnwindSafe(|| pollster::block_on(&mut first))).is_err());
    // The other one has read what that would have left, and its commit is to follow. It still has both, and does not go on yet.
    assert_eq!(pollster::block_on(store.scope(increment("n"))).expect("increments"), 1);
    assert_eq!(pollster::block_on(second).expect("increments"), 2);
    assert_eq!(pollster::block_on(store.scope(increment("n"))).expect("increments"), 3);
}

#[test]
fn whoever_is_committed_with_another_one_when_the_engine_panics_is_told_that_nobody_knows() {
    let (store, calls) = Later::store();
    hold(&store, &calls);
    let first = started(&store, increment("n"));
    // These two are in one group, which is sent when the first has its answer.
    let (mut second, third) = (started(&store, increment("n")), started(&store, increment("n")));
    calls.release_all();
    assert_eq!(pollster::block_on(first).expect("increments"), 1);
    calls.before_commit(|| panic!("planned"));
    assert!(catch_unwind(AssertUnwindSafe(|| pollster::block_on(&mut second))).is_err());
    // Whoever comes later begins anew, also while the third has not been told.
    assert_eq!(pollster::block_on(store.scope(increment("n"))).expect("increments"), 2);
    assert_eq!(pollster::block_on(third).expect_err("it is not known").kind(), ErrorKind::Indeterminate);
}

/// As an engine in a folder that has no room: it answers at once, or once there is some.
#[derive(Clone)]
struct Crowded {
    memory: Arc<dyn Engine>,
    is_full: Arc<AtomicBool>,
}

impl Engine for Crowded {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        if request.write.is_empty() || !self.is_full.load(Ordering::SeqCst) {
            return self.memory.execute(request);
        }
        Answer::Later(Box::pin(async move {
            poll_fn(|_| match self.is_full.load(Ordering::SeqCst) {
                true => std::task::Poll::Pending,
                false => std::task::Poll::Ready(()),
            })
            .await;
            match self.memory.execute(request) {
                Answer::Ready(reply) => reply,
                Answer::Later(_) | Answer::Committing(_) => panic!("memory answers at once"),
            }
        }))
    }

    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        self.memory.scan(compare, range, limit)
    }

    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        self.memory.watch(compare)
    }

    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        self.memory.durable(stamp)
    }

    fn limits(&self) -> Limits {
        self.memory.limits()
    }
}

#[test]
fn a_commit_that_waits_for_room_leaves_nothing_that_is_not_so() {
    let is_full = Arc::new(AtomicBool::new(false));
    let (store, clock) = stopped(Crowded { memory: conformance::memory_engine().into(), is_full: is_full.clone() });
    let add = |tx: &Tx| -> Result<u64> {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n += 1;
        Ok(counter.n)
    };
    assert_eq!(store.transaction(add).expect("adds"), 1);
    is_full.store(true, Ordering::SeqCst);
    let of_store = store.clone();
    let mut waits: Running<u64> = Box::pin(async move { of_store.transaction_async(add).await });
    assert!(poll(&mut waits).is_pending(), "there is no room");
    clock.advance(Duration::from_secs(1));
    is_full.store(false, Ordering::SeqCst);
    assert_eq!(pollster::block_on(waits).expect("adds"), 2);
    for n in 3..=10 {
        assert_eq!(store.transaction_with(twice(), add).expect("nobody else is there"), n);
    }
    assert_eq!(store.stats().reruns, 0);
}

#[test]
fn a_commit_of_a_group_that_could_not_be_made_durable_is_open() {
    let (store, calls) = Later::store();
    hold(&store, &calls);
    calls.release_all();
    calls.lose_disk();
    let in_future = pollster::block_on(store.scope(increment("n"))).expect_err("the disk is gone");
    let add = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n += 1);
    for error in [in_future, store.transaction(add).expect_err("the disk is gone")] {
        assert!(error.is_indeterminate() && !error.is_retryable(), "{error:?}");
    }
}

#[test]
fn what_a_group_has_lost_to_is_given_out_when_it_is_durable() {
    let fill = |tx: &Tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        if counter.n < 10 {
            counter.n += 1;
        }
        metaparticle::Ok(counter.n)
    };
    for in_future in [true, false] {
        let (store, other, calls) = Later::two_stores();
        let (hooks, newest) = (calls.clone(), Arc::new(AtomicU64::new(0)));
        pollster::block_on(store.scope(increment("another"))).expect("increments");
        let of_hook = newest.clone();
        calls.before_commit(move || {
            other.transaction(|tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n = 50)).expect("sets");
            of_hook.store(hooks.waited_for(), Ordering::SeqCst);
            hooks.reset();
        });
        let told = if in_future { pollster::block_on(store.transaction_async(fill)) } else { store.transaction(fill) };
        assert_eq!(told.expect("fills"), 50);
        assert!(calls.waited_for() >= newest.load(Ordering::SeqCst), "a power cut could take it: {in_future}");
    }
}

#[test]
fn what_others_have_made_of_a_group_is_given_out_when_it_is_durable() {
    let look = |tx: &Tx| tx.get_mut::<Counter>("n").map(|counter| counter.n);
    for in_future in [true, false] {
        let (_, other, calls, engine) = Later::with_engine();
        let (store, clock) = stopped(engine);
        hold(&store, &calls);
        let mut first = started(&store, increment("n"));
        clock.advance(Duration::from_secs(1));
        calls.release_all();
        assert_eq!(pollster::block_on(&mut first).expect("increments"), 1);
        assert_eq!(pollster::block_on(other.scope(increment("n"))).expect("increments"), 2);
        let newest = calls.waited_for();
        calls.reset();
        // It finds what the group has left, and then that it is old.
        let told = if in_future { pollster::block_on(store.transaction_async(look)) } else { store.transaction(look) };
        assert_eq!(told.expect("looks"), 2);
        assert!(calls.waited_for() >= newest, "a power cut could take it: {in_future}");
    }
}

#[test]
fn an_engine_that_reads_at_once_is_not_asked_to_compare_what_is_not_committed() {
    let (store, calls) = Later::store();
    hold(&store, &calls);
    calls.read_at_once();
    let first = started(&store, increment("n"));
    let of_store = store.clone();
    let sum = |tx: &Tx| Ok(tx.get::<Counter>("n")?.n + tx.get::<Counter>("another")?.n);
    let once = TransactionOptions::new().attempts(1);
    let mut sum: Running<u64> = Box::pin(async move { of_store.transaction_async_with(once, sum).await });
    wait(&mut sum);
    calls.release_all();
    assert_eq!(pollster::block_on(first).expect("increments"), 1);
    assert_eq!(pollster::block_on(sum).expect("nothing has changed"), 2);
}
