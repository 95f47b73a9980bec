//! What happens after a conflict is decided by the transaction, not by the error that a body returns.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use metaparticle::{Result, Store, Tx, transactional};
use metaparticle_tests::{TestStore, on_every_engine, on_threads};

use crate::{Account, Counter, count, increment};

on_every_engine! {
    a_conflict_at_commit_is_run_again
    a_conflict_inside_the_body_is_run_again
    a_swallowed_conflict_does_not_commit
    a_conflict_turned_into_another_error_is_run_again
    now_and_random_are_the_same_in_every_attempt
    after_commit_runs_once
    after_commit_does_not_run_for_what_is_rolled_back
    an_effect_that_panics_does_not_keep_others_from_it
    arguments_are_fresh_in_every_attempt
    what_an_attempt_has_returned_is_gone_when_the_next_one_runs
    one_hot_object_serves_everybody
}

/// Changes `key` from another thread, so that it is not part of the transaction that runs here.
fn meanwhile(store: &Store, key: &str) {
    // It waits for its turn behind the transaction that waits for it here, so it had better be impatient.
    let options = metaparticle::TransactionOptions::new().timeout(Duration::from_secs(1));
    let add = || {
        store.transaction_with(options, |tx| {
            tx.get_mut::<Counter>(key)?.n += 1;
            metaparticle::Ok(())
        })
    };
    std::thread::scope(|scope| scope.spawn(add).join().expect("no panic")).expect("increments");
}

fn a_conflict_at_commit_is_run_again(engine: &str) {
    let store = TestStore::new(engine);
    let attempts = store.transaction(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n += 1;
        if tx.attempt() == 1 {
            meanwhile(&store, "n");
        }
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("commits"), 2);
    assert_eq!(store.run(|| count("n")).expect("counts"), 2);
    assert_eq!(store.stats().reruns, 1);
}

fn a_conflict_inside_the_body_is_run_again(engine: &str) {
    let store = TestStore::new(engine);
    let went_on = AtomicU64::new(0);
    let attempts = store.transaction(|tx| {
        let n = tx.get::<Counter>("n")?.n;
        if tx.attempt() == 1 {
            meanwhile(&store, "n");
        }
        tx.insert("other", Counter { n })?;
        went_on.fetch_add(1, Ordering::SeqCst);
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("commits"), 2);
    assert_eq!(went_on.load(Ordering::SeqCst), 1, "the body went on with what was no longer current");
}

fn a_swallowed_conflict_does_not_commit(engine: &str) {
    let store = TestStore::new(engine);
    store
        .transaction(|tx| {
            tx.insert("mine", Counter { n: tx.attempt().into() })?;
            let _n = tx.get::<Counter>("n")?.n;
            if tx.attempt() == 1 {
                meanwhile(&store, "n");
            }
            // The error is ignored, here and by all that follows.
            if tx.get::<Counter>("other").is_err() {
                assert_eq!(tx.attempt(), 1);
                let _ = tx.insert("mine", Counter { n: 99 });
            }
            metaparticle::Ok(())
        })
        .expect("commits");
    assert_eq!(store.run(|| count("mine")).expect("counts"), 2, "the attempt that had a conflict was committed");
}

fn a_conflict_turned_into_another_error_is_run_again(engine: &str) {
    let store = TestStore::new(engine);
    let outcome: Result<u32, Box<dyn std::error::Error>> = store.transaction(|tx| {
        let _n = tx.get::<Counter>("n")?.n;
        if tx.attempt() == 1 {
            meanwhile(&store, "n");
        }
        tx.get::<Counter>("other").map_err(|_| "something else went wrong")?;
        Ok(tx.attempt())
    });
    assert_eq!(outcome.expect("the body was run again"), 2);
}

fn now_and_random_are_the_same_in_every_attempt(engine: &str) {
    let store = TestStore::new(engine);
    let seen = Mutex::new(HashSet::<(SystemTime, u64, u64)>::new());
    let run = || {
        store.transaction(|tx| {
            let mut counter = tx.get_mut::<Counter>("n")?;
            counter.n += 1;
            seen.lock().expect("not poisoned").insert((tx.now(), tx.random(), tx.random()));
            if tx.attempt() < 4 {
                meanwhile(&store, "n");
            }
            metaparticle::Ok(())
        })
    };
    run().expect("commits");
    let first = seen.lock().expect("not poisoned").iter().copied().collect::<Vec<_>>();
    assert_eq!(first.len(), 1, "the attempts differ");
    assert_ne!(first[0].1, first[0].2, "the second number is the first");
    run().expect("commits");
    assert_eq!(seen.lock().expect("not poisoned").len(), 2, "another transaction has the same");
}

fn after_commit_runs_once(engine: &str) {
    let store = TestStore::new(engine);
    let sent = Arc::new(AtomicU64::new(0));
    store
        .transaction(|tx| {
            tx.get_mut::<Counter>("n")?.n += 1;
            let (sent, seen) = (sent.clone(), store.clone());
            // It may use the store: the transaction has ended.
            tx.after_commit(move || {
                sent.fetch_add(seen.run(|| count("n")).expect("counts"), Ordering::SeqCst);
            });
            if tx.attempt() < 3 {
                meanwhile(&store, "n");
            }
            metaparticle::Ok(())
        })
        .expect("commits");
    assert_eq!(sent.load(Ordering::SeqCst), 3, "once, and after the commit");
}

fn an_effect_that_panics_does_not_keep_others_from_it(engine: &str) {
    let store = TestStore::new(engine);
    let ran = Arc::new(AtomicU64::new(0));
    let changes = |tx: &Tx| {
        for n in 0..3 {
            let ran = ran.clone();
            tx.after_commit(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                assert!(n != 0, "the first one panics");
            });
        }
        tx.get_mut::<Counter>("n").map(|mut counter| counter.n += 1)
    };
    let panic = catch_unwind(AssertUnwindSafe(|| store.transaction(changes)));
    assert!(panic.is_err(), "the panic goes on");
    assert_eq!((ran.load(Ordering::SeqCst), store.run(|| count("n")).expect("counts")), (3, 1));
}

fn after_commit_does_not_run_for_what_is_rolled_back(engine: &str) {
    #[transactional]
    fn nested(tx: &Tx, sent: &Arc<AtomicU64>, fail: bool) -> Result<()> {
        let sent = sent.clone();
        tx.after_commit(move || {
            sent.fetch_add(1, Ordering::SeqCst);
        });
        if fail { tx.get::<Account>("nobody").map(drop) } else { Ok(()) }
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let sent = Arc::new(AtomicU64::new(0));
    nested(&sent, true).expect_err("fails");
    assert_eq!(sent.load(Ordering::SeqCst), 0);
    store
        .transaction(|_tx| {
            nested(&sent, true).expect_err("fails");
            nested(&sent, false)
        })
        .expect("commits");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

fn arguments_are_fresh_in_every_attempt(engine: &str) {
    #[transactional]
    fn append(page: &mut crate::Page, tx: &Tx, mut words: Vec<String>, store: &Store) -> Result<u32> {
        words.push("end".to_owned());
        page.title = words.join(" ");
        if tx.attempt() == 1 {
            let title = store.clone();
            std::thread::scope(|scope| scope.spawn(move || title.run(|| retitle("home"))).join().expect("no panic"))?;
        }
        Ok(tx.attempt())
    }
    #[transactional]
    fn retitle(page: &mut crate::Page) -> Result<()> {
        page.title = "meanwhile".to_owned();
        Ok(())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    assert_eq!(append("home", vec!["a".to_owned()], &store).expect("appends"), 2);
    let title = store.transaction(|tx| metaparticle::Ok(tx.get::<crate::Page>("home")?.title.clone()));
    assert_eq!(title.expect("reads"), "a end");
}

fn what_an_attempt_has_returned_is_gone_when_the_next_one_runs(engine: &str) {
    let store = TestStore::new(engine);
    let returned = RefCell::new(Weak::new());
    let attempt = store.transaction(|tx| {
        assert_eq!(returned.borrow().strong_count(), 0, "it is kept");
        tx.get_mut::<Counter>("n")?.n += 1;
        if tx.attempt() == 1 {
            meanwhile(&store, "n");
        }
        let result = Arc::new(tx.attempt());
        *returned.borrow_mut() = Arc::downgrade(&result);
        metaparticle::Ok(result)
    });
    assert_eq!(*attempt.expect("commits"), 2);
}

fn one_hot_object_serves_everybody(engine: &str) {
    let store = TestStore::with(engine, |settings| settings.timeout(Duration::from_secs(60)));
    on_threads(32, |_| {
        let _entered = store.enter();
        for _ in 0..20 {
            increment("hot").expect("nobody is starved");
        }
    });
    assert_eq!(store.run(|| count("hot")).expect("counts"), 640);
    let stats = store.stats();
    assert!(stats.reruns < 10 * stats.commits, "{stats:?}");
}
