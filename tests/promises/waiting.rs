//! A transaction can wait for a condition: it is run again once something that it has read has changed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use metaparticle::{Clock, ErrorKind, ManualClock, Ref, Result, Store, TransactionOptions, Tx, transactional};
use metaparticle_tests::queue::{put, take};
use metaparticle_tests::{TestStore, on_every_engine, on_threads};

use crate::{Counter, count, increment};

on_every_engine! {
    a_bounded_queue_loses_nothing_and_gives_nothing_twice
    a_condition_that_never_comes_true_is_a_timeout_that_names_what_it_waits_for
    a_condition_waits_by_the_stores_clock
    a_wait_that_the_body_swallows_is_not_committed
    a_panic_of_a_body_that_waits_does_not_end_the_wait
    the_outermost_body_waits_for_a_nested_one
    waiting_before_anything_was_read_is_an_error_that_says_so
    a_change_between_the_read_and_the_wait_is_noticed
    a_wait_is_no_attempt_and_no_conflict
    what_was_changed_before_the_wait_is_written_once
    an_object_that_comes_into_a_range_ends_a_wait
    whoever_waits_does_not_hold_up_others
    a_condition_is_given_up_also_while_everything_changes
}

fn a_bounded_queue_loses_nothing_and_gives_nothing_twice(engine: &str) {
    const EACH: u64 = 8;
    let store = TestStore::new(engine);
    let taken = Mutex::new(Vec::new());
    on_threads(6, |thread| {
        let _entered = store.enter();
        for n in 0..EACH {
            match thread % 2 {
                0 => put("mail", thread as u64 * EACH + n).expect("puts"),
                _ => {
                    let item = take("mail").expect("takes");
                    taken.lock().expect("no panic").push(item);
                }
            }
        }
    });
    let mut taken = taken.into_inner().expect("no panic");
    taken.sort_unstable();
    let put: Vec<u64> = [0, 2, 4].into_iter().flat_map(|thread| thread * EACH..(thread + 1) * EACH).collect();
    assert_eq!(taken, put);
}

fn a_condition_that_never_comes_true_is_a_timeout_that_names_what_it_waits_for(engine: &str) {
    #[transactional(timeout = "1s")]
    fn wait_for_ever(tx: &Tx, counter: &mut Counter, other: Ref<Counter>) -> Result<()> {
        counter.n += 1;
        tx.wait_until(other.n > 0)
    }
    let store = TestStore::new(engine);
    // From now on, the store knows the type.
    store.run(|| count("n")).expect("counts");
    let error = store.run(|| wait_for_ever("n", "other")).expect_err("nobody changes it");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    let said = error.to_string();
    assert!(said.contains("condition of `wait_for_ever`") && said.contains("Counter \"other\""), "{said}");
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
}

fn a_condition_waits_by_the_stores_clock(engine: &str) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let given: Arc<dyn Clock> = clock.clone();
    let store = TestStore::with(engine, |settings| settings.clock(given));
    let error = store.transaction(|tx| {
        let n = tx.get::<Counter>("n")?.n;
        clock.advance(Duration::from_secs(11));
        tx.wait_until(n > 0)
    });
    let error = error.expect_err("its time is over");
    assert!(error.is_timeout() && error.to_string().contains("Counter \"n\""), "{error:?}");
}

fn a_wait_that_the_body_swallows_is_not_committed(engine: &str) {
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    let called = Arc::new(AtomicU32::new(0));
    let waiting = || {
        store.transaction(|tx| {
            let n = tx.get::<Counter>("n")?.n;
            tx.get_mut::<Counter>("changed")?.n += 1;
            let waits = tx.wait_until(n > 0).is_err();
            assert!(!waits || tx.get::<Counter>("n").is_err(), "the attempt goes on");
            let called = called.clone();
            tx.after_commit(move || {
                called.fetch_add(1, Ordering::SeqCst);
            });
            runs.send(waits).expect("somebody listens");
            metaparticle::Ok(waits)
        })
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(waiting);
        assert!(next(&ran));
        assert_eq!(store.run(|| count("changed")).expect("counts"), 0);
        store.run(|| increment("n")).expect("increments");
        assert!(!waiting.join().expect("no panic").expect("commits"), "what a body returned that waits was given away");
    });
    assert_eq!((store.run(|| count("changed")).expect("counts"), called.load(Ordering::SeqCst)), (1, 1));
}

fn a_panic_of_a_body_that_waits_does_not_end_the_wait(engine: &str) {
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    let body = |tx: &Tx| {
        let n = tx.get::<Counter>("n")?.n;
        runs.send(n).expect("somebody listens");
        tx.wait_until(n > 0).expect("or it panics");
        metaparticle::Ok(n)
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| store.transaction(body))));
        assert_eq!(next(&ran), 0);
        store.run(|| increment("n")).expect("increments");
        let waited = waiting.join().expect("no panic").expect("no panic comes out");
        assert_eq!(waited.expect("reads"), 1);
    });
}

fn the_outermost_body_waits_for_a_nested_one(engine: &str) {
    #[transactional]
    fn inner(tx: &Tx, counter: Ref<Counter>, runs: &Sender<u64>) -> Result<u64> {
        runs.send(counter.n).expect("somebody listens");
        tx.wait_until(counter.n > 0)?;
        increment("inner")
    }
    #[transactional]
    fn outer(runs: &Sender<u64>) -> Result<u64> {
        increment("outer")?;
        Ok(inner("n", runs).unwrap_or(100))
    }
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.run(|| outer(&runs)));
        assert_eq!(next(&ran), 0);
        store.run(|| increment("n")).expect("increments");
        assert_eq!(waiting.join().expect("no panic").expect("commits"), 1);
    });
    assert_eq!(["outer", "inner"].map(|key| store.run(|| count(key)).expect("counts")), [1, 1]);
}

fn waiting_before_anything_was_read_is_an_error_that_says_so(engine: &str) {
    #[transactional]
    fn hasty(tx: &Tx) -> Result<()> {
        tx.wait_until(true)?;
        tx.wait_until(false)
    }
    let store = TestStore::new(engine);
    let error = store.run(hasty).expect_err("it would sleep for ever");
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(error.to_string().contains("`hasty`") && error.to_string().contains("read nothing"), "{error}");
    let swallowed = store.transaction(|tx| {
        let _ = tx.wait_until(false);
        let _ = tx.insert("n", Counter { n: 7 });
        metaparticle::Ok(())
    });
    assert_eq!(swallowed.expect_err("it is not committed").kind(), ErrorKind::Setup);
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
}

/// What a body has sent; a body that is not run again must not hold up the tests for ever.
fn next<T>(ran: &Receiver<T>) -> T {
    ran.recv_timeout(Duration::from_secs(60)).expect("it runs")
}

fn on_another_thread(store: &Store) {
    std::thread::scope(|scope| scope.spawn(|| store.run(|| increment("n"))).join().expect("no panic")).expect("increments");
}

fn a_change_between_the_read_and_the_wait_is_noticed(engine: &str) {
    let store = TestStore::new(engine);
    let runs = AtomicU32::new(0);
    let waited = store.transaction(|tx| {
        let n = tx.get::<Counter>("n")?.n;
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            on_another_thread(&store);
        }
        tx.wait_until(n > 0)?;
        metaparticle::Ok(n)
    });
    assert_eq!(waited.expect("nobody else will change it"), 1);
}

fn a_wait_is_no_attempt_and_no_conflict(engine: &str) {
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    let body = |tx: &Tx| {
        let n = tx.get::<Counter>("n")?.n;
        runs.send(n).expect("somebody listens");
        tx.wait_until(n == 3)?;
        metaparticle::Ok(tx.attempt())
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.transaction_with(TransactionOptions::new().attempts(1), body));
        for n in 0..3 {
            while next(&ran) < n {}
            store.run(|| increment("n")).expect("increments");
        }
        assert_eq!(waiting.join().expect("no panic").expect("reads"), 1);
    });
    assert_eq!(store.stats().reruns, 0);
}

fn what_was_changed_before_the_wait_is_written_once(engine: &str) {
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    let body = |tx: &Tx| {
        tx.get_mut::<Counter>("n")?.n += 10;
        let n = tx.get::<Counter>("n")?.n;
        runs.send(n).expect("somebody listens");
        tx.wait_until(n > 10)
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.transaction(body));
        assert_eq!(next(&ran), 10);
        assert_eq!(store.run(|| increment("n")).expect("increments"), 1, "it was written before the wait");
        waiting.join().expect("no panic").expect("commits");
    });
    assert_eq!(store.run(|| count("n")).expect("counts"), 11);
}

fn an_object_that_comes_into_a_range_ends_a_wait(engine: &str) {
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    let body = |tx: &Tx| {
        let first = tx.keys::<Counter>("b".."c").next().transpose()?;
        runs.send(()).expect("somebody listens");
        tx.wait_until(first.is_some())?;
        metaparticle::Ok(first)
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.transaction_with(TransactionOptions::new().read_only(), body));
        next(&ran);
        store.run(|| increment("best")).expect("increments");
        assert_eq!(waiting.join().expect("no panic").expect("reads"), Some("best".to_owned()));
    });
}

fn whoever_waits_does_not_hold_up_others(engine: &str) {
    /// So patient that it would wait for its turn for longer than the one that waits has time.
    #[transactional(timeout = "600s")]
    fn patient(counter: &mut Counter) -> Result<()> {
        counter.n += 1;
        Ok(())
    }
    let store = TestStore::new(engine);
    let (runs, ran) = channel();
    let number = AtomicU32::new(0);
    let body = |tx: &Tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        if number.fetch_add(1, Ordering::SeqCst) == 0 {
            // A conflict, so that the next attempt has the turn.
            on_another_thread(&store);
            counter.n += 100;
            return metaparticle::Ok(());
        }
        runs.send(()).expect("somebody listens");
        tx.wait_until(counter.n == 3)
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.transaction_with(TransactionOptions::new().timeout(Duration::from_secs(30)), body));
        next(&ran);
        on_threads(2, |_| store.run(|| patient("n")).expect("increments"));
        waiting.join().expect("no panic").expect("the condition came true");
    });
    assert_eq!(store.run(|| count("n")).expect("counts"), 3);
}

/// What the body has read changes each time that it runs, so that it is woken at once, again and again.
fn a_condition_is_given_up_also_while_everything_changes(engine: &str) {
    #[transactional]
    fn wait_in_vain(tx: &Tx, counter: Ref<Counter>, run: &dyn Fn()) -> Result<()> {
        run();
        tx.wait_until(counter.n == u64::MAX)
    }
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let store = TestStore::with(engine, |settings| settings.clock(clock.clone()));
    let runs = AtomicU32::new(0);
    let run = || {
        assert!(runs.fetch_add(1, Ordering::Relaxed) < 100, "it does not give up");
        std::thread::scope(|scope| scope.spawn(|| store.run(|| increment("n"))).join().expect("no panic")).expect("increments");
        clock.advance(Duration::from_secs(1));
    };
    let error = store.run(|| wait_in_vain("n", &run)).expect_err("it never comes true");
    assert!(error.is_timeout(), "{error}");
    assert!(runs.load(Ordering::Relaxed) >= 5, "{runs:?}");
}
