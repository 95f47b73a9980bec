//! A transaction ends: with its result, or with an error that names what stood in its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use metaparticle::{Clock, ErrorKind, ManualClock, Result, Store, Tx, transactional};
use metaparticle_tests::{TestStore, on_every_engine};

use crate::{Account, Counter, Page, count, increment};

on_every_engine! {
    attempts_are_limited_and_the_error_names_the_object
    the_error_of_who_gives_up_names_the_range_that_others_change
    the_deadline_ends_retries
    who_gives_up_after_a_conflict_is_told_what_took_the_last_of_the_time
    a_body_that_takes_too_long_is_not_committed
    a_slow_engine_call_is_not_begun_after_the_deadline
    a_range_is_not_read_on_after_the_deadline
    a_nested_function_does_not_load_its_parameters_after_the_deadline
    a_slow_body_does_not_hold_up_everybody_for_ever
    a_slow_body_is_not_overtaken_for_ever
    a_key_that_is_too_long_is_refused_by_name
}

fn meanwhile(store: &Store) {
    // It waits for its turn behind the transaction that waits for it here, so it had better be impatient.
    let options = metaparticle::TransactionOptions::new().timeout(Duration::from_secs(1));
    let add = || {
        store.transaction_with(options, |tx| {
            tx.get_mut::<Counter>("n")?.n += 1;
            metaparticle::Ok(())
        })
    };
    std::thread::scope(|scope| scope.spawn(add).join().expect("no panic")).expect("increments");
}

/// Never comes to an end by itself: somebody else is always faster.
#[transactional(attempts = 3)]
fn unlucky(counter: &mut Counter, store: &Store) -> Result<()> {
    counter.n += 1;
    meanwhile(store);
    Ok(())
}

fn attempts_are_limited_and_the_error_names_the_object(engine: &str) {
    let store = TestStore::new(engine);
    let error = store.run(|| unlucky("n", &store)).expect_err("gives up");
    assert!(error.is_conflict() && error.is_retryable());
    let said = error.to_string();
    assert_eq!(said, "`unlucky` gave up after 3 attempts: other transactions kept changing Counter \"n\"; nothing was written");
    assert_eq!(store.run(|| count("n")).expect("counts"), 3, "only the others have counted");
}

fn the_error_of_who_gives_up_names_the_range_that_others_change(engine: &str) {
    let store = TestStore::new(engine);
    let once = metaparticle::TransactionOptions::new().attempts(1);
    let error = store.transaction_with(once, |tx| {
        let others = tx.range::<Counter>(..).count();
        meanwhile(&store);
        tx.insert("others", Counter { n: others as u64 })
    });
    assert_eq!(
        error.expect_err("gives up").to_string(),
        "`a transaction` gave up after one attempt: other transactions kept changing the objects in a range of keys; nothing was \
         written"
    );
}

fn manual(engine: &str) -> (TestStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let given: Arc<dyn Clock> = clock.clone();
    (TestStore::with(engine, |settings| settings.clock(given)), clock)
}

fn the_deadline_ends_retries(engine: &str) {
    let (store, clock) = manual(engine);
    let error = store.transaction(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n += 1;
        meanwhile(&store);
        clock.advance(Duration::from_secs(3));
        metaparticle::Ok(())
    });
    let error = error.expect_err("gives up");
    assert!(error.is_conflict(), "{error:?}");
    assert!(error.to_string().contains("4 attempts"), "a little over 3, 6, 9 and 12 seconds: {error}");
}

fn who_gives_up_after_a_conflict_is_told_what_took_the_last_of_the_time(engine: &str) {
    let (store, clock) = manual(engine);
    let error = store.transaction(|tx: &Tx| {
        if tx.attempt() > 1 {
            clock.advance(Duration::from_secs(11));
        }
        tx.get_mut::<Counter>("n")?.n += 1;
        if tx.attempt() == 1 {
            meanwhile(&store);
        }
        metaparticle::Ok(())
    });
    let error = error.expect_err("gives up");
    assert!(error.is_conflict() && error.to_string().contains("2 attempts"), "{error:?}");
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<metaparticle::Error>());
    assert!(cause.is_some_and(metaparticle::Error::is_timeout), "{error:?}");
}

fn a_body_that_takes_too_long_is_not_committed(engine: &str) {
    #[transactional(timeout = "2s")]
    fn slow(counter: &mut Counter, clock: &ManualClock) -> Result<()> {
        counter.n += 1;
        clock.advance(Duration::from_millis(2001));
        Ok(())
    }
    let (store, clock) = manual(engine);
    // From now on, the store knows the type, and its first commit is not the one of that.
    store.run(|| increment("another")).expect("increments");
    let error = store.run(|| slow("n", &clock)).expect_err("too late");
    assert!(error.is_timeout() && error.to_string().contains("`slow`"), "{error:?}");
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
}

fn a_slow_engine_call_is_not_begun_after_the_deadline(engine: &str) {
    let (store, clock) = manual(engine);
    let error = store.transaction(|tx| {
        clock.advance(Duration::from_secs(11));
        tx.get::<Counter>("n").map(drop)
    });
    assert!(error.expect_err("too late").is_timeout());
}

fn a_range_is_not_read_on_after_the_deadline(engine: &str) {
    let (store, clock) = manual(engine);
    let error = store.transaction(|tx| {
        clock.advance(Duration::from_secs(11));
        tx.keys::<Counter>(..).try_for_each(|key| key.map(drop))
    });
    assert!(error.expect_err("too late").is_timeout());
}

fn a_nested_function_does_not_load_its_parameters_after_the_deadline(engine: &str) {
    #[transactional]
    fn both(one: &mut Counter, two: &mut Counter) -> Result<()> {
        std::mem::swap(one, two);
        Ok(())
    }
    let (store, clock) = manual(engine);
    let _entered = store.enter();
    let one = || count("n").map(drop);
    let two = || both("n", "m");
    let nested: [&dyn Fn() -> Result<()>; 2] = [&one, &two];
    for nested in nested {
        let error = store.transaction(|_| {
            clock.advance(Duration::from_secs(11));
            nested()
        });
        assert!(error.expect_err("too late").is_timeout());
    }
}

/// Others wait for their turn behind a slow body, but only for a while.
fn a_slow_body_does_not_hold_up_everybody_for_ever(engine: &str) {
    #[transactional(timeout = "200ms")]
    fn impatient(counter: &mut Counter) -> Result<()> {
        counter.n += 1;
        Ok(())
    }
    let store = TestStore::new(engine);
    // From its second attempt on, it has the turn on "n" while its body waits for another transaction on "n".
    let attempts = store.transaction(|tx: &Tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n += 1;
        if tx.attempt() < 3 {
            std::thread::scope(|scope| scope.spawn(|| store.run(|| impatient("n"))).join().expect("no panic"))?;
        }
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("commits"), 3);
    assert_eq!(store.run(|| count("n")).expect("counts"), 3);
}

/// Others who are faster wait for its turn too, on threads and in futures.
fn a_slow_body_is_not_overtaken_for_ever(engine: &str) {
    const OTHERS: u64 = 4;
    let add = |tx: &Tx| {
        tx.get_mut::<Counter>("n")?.n += 1;
        metaparticle::Ok(())
    };
    for in_futures in [false, true] {
        let store = TestStore::new(engine);
        let (added, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let attempts = std::thread::scope(|scope| {
            for _ in 0..OTHERS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let done =
                            if in_futures { pollster::block_on(store.transaction_async(add)) } else { store.transaction(add) };
                        done.expect("adds");
                        added.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let slow = store.transaction(|tx: &Tx| {
                tx.get_mut::<Counter>("n")?.n += 1;
                // It ends when others have been faster, and that is not all that had been done before it has begun; or when they wait.
                let (begin, before) = (Instant::now(), added.load(Ordering::Relaxed));
                while added.load(Ordering::Relaxed) <= before + OTHERS && begin.elapsed() < Duration::from_millis(200) {
                    std::thread::yield_now();
                }
                metaparticle::Ok(tx.attempt())
            });
            is_over.store(true, Ordering::Relaxed);
            slow
        });
        let attempts = attempts.expect("its turn comes");
        assert!(attempts < 30, "{attempts} attempts, others in futures: {in_futures}");
        assert_eq!(store.run(|| count("n")).expect("counts"), added.into_inner() + 1);
    }
}

fn a_key_that_is_too_long_is_refused_by_name(engine: &str) {
    let store = TestStore::new(engine);
    let result = store.run(|| increment("k".repeat(5000)));
    match engine {
        "memory" => assert_eq!(result.expect("has no limits"), 1),
        _ => {
            let error = result.expect_err("too long");
            assert_eq!(error.kind(), ErrorKind::Limit);
            let said = error.to_string();
            assert!(said.contains("Counter \"kkk"), "{said}");
            let fits = 5000 + number_after(" up to ", &said) - number_after(" takes ", &said);
            let increment_long = |length| store.run(|| increment("k".repeat(length)));
            assert_eq!(increment_long(fits).expect("as long as it may be"), 1);
            assert_eq!(increment_long(fits + 1).expect_err("a byte more").kind(), ErrorKind::Limit);
        }
    }
}

/// The number that follows these words.
fn number_after(words: &str, said: &str) -> usize {
    let number = said.split_once(words).and_then(|(_, rest)| rest.split(' ').next()).expect("it says so");
    number.parse().expect("a number")
}

fn a_record_too_large_is_refused_by_name(engine: &str, limit: usize) {
    let store = TestStore::new(engine);
    let grow = |length: usize| {
        store.transaction(|tx| {
            tx.get_mut::<Page>("big")?.title = "x".repeat(length);
            metaparticle::Ok(())
        })
    };
    let error = grow(limit).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let said = error.to_string();
    assert!(said.contains("Page \"big\"") && said.contains(&format!("up to {limit} bytes")), "{said}");
    let fits = 2 * limit - number_after(" takes ", &said);
    grow(fits).expect("as large as it may be");
    assert_eq!(grow(fits + 1).expect_err("a byte more").kind(), ErrorKind::Limit);
    let title = store.transaction(|tx| metaparticle::Ok(tx.get::<Page>("big")?.title.len()));
    assert_eq!(title.expect("reads"), fits);
}

#[test]
fn a_record_too_large_for_sled_is_refused_by_name() {
    a_record_too_large_is_refused_by_name("sled", 128 << 10);
}

#[test]
fn a_record_too_large_for_fjall_is_refused_by_name() {
    a_record_too_large_is_refused_by_name("fjall", 1 << 20);
}

fn a_commit_too_large_is_refused_by_name(engine: &str, limit: usize) {
    /// Each much smaller than an object may be.
    const OBJECTS: usize = 50;
    let store = TestStore::new(engine);
    // The first one is as long as is asked for, and all are changed each time.
    let fill = |round: u64, first: usize| {
        let length = |n: usize| if n == 0 { first } else { limit / OBJECTS };
        let page = |n: usize| Page { visits: round, title: "x".repeat(length(n)), tags: Vec::new() };
        store.transaction(|tx| (0..OBJECTS).try_for_each(|n| tx.insert(n.to_string(), page(n))))
    };
    // From now on, the store knows the type, and commits nothing for that.
    fill(1, 0).expect("fits");
    let large = limit / OBJECTS + 10_000;
    let error = fill(2, large).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let said = error.to_string();
    assert!(said.contains("Page \"0\"") && said.contains(&format!("up to {limit} bytes")), "{said}");
    let fits = large + limit - number_after(&format!("{OBJECTS} objects of "), &said);
    fill(3, fits).expect("as large as it may be");
    assert_eq!(fill(4, fits + 1).expect_err("a byte more").kind(), ErrorKind::Limit);
}

#[test]
fn a_commit_too_large_for_sled_is_refused_by_name() {
    a_commit_too_large_is_refused_by_name("sled", 4 << 20);
}

#[test]
fn a_commit_too_large_for_fjall_is_refused_by_name() {
    a_commit_too_large_is_refused_by_name("fjall", 4 << 20);
}

#[test]
fn a_commit_of_too_many_objects_is_refused() {
    for engine in ["fjall", "sled"] {
        let store = TestStore::new(engine);
        let fill = |objects: u64| {
            store.transaction(|tx| (0..objects).try_for_each(|n| tx.insert(n.to_string(), Counter { n: objects })))
        };
        // From now on, the store knows the type, and commits nothing for that.
        fill(1).expect("fits");
        fill(4096).expect("as many as there may be");
        let error = fill(4097).expect_err("too many");
        assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("4097 objects"), "{engine}: {error}");
    }
}

#[test]
fn without_a_store_the_error_says_what_to_call() {
    let error = increment("n").expect_err("there is no store");
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(error.to_string().contains("metaparticle::open"), "{error}");
    let _ = Account { balance: 0 };
}
