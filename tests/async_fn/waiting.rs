//! A future that waits for a condition: no thread is blocked, and nothing is left behind.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use metaparticle::{ErrorKind, Ref, Result, Store, TransactionOptions, Tx, persistent, transactional};

use crate::later::{Later, poll_once};
use crate::{Counter, count, increment, is_send, many_threads, stores};

#[persistent(default)]
struct Queue {
    items: Vec<u64>,
}

const CAPACITY: usize = 2;

#[transactional(timeout = "120s")]
async fn put(tx: &Tx, queue: &mut Queue, item: u64) -> Result<()> {
    tx.wait_until(queue.items.len() < CAPACITY)?;
    queue.items.push(item);
    Ok(())
}

#[transactional(timeout = "120s")]
async fn take(tx: &Tx, queue: &mut Queue) -> Result<u64> {
    tx.wait_until(!queue.items.is_empty())?;
    Ok(queue.items.remove(0))
}

/// Waits for one object after another.
#[transactional(attempts = 1)]
async fn both(tx: &Tx, one: Ref<Counter>, other: Ref<Counter>) -> Result<(u64, u32)> {
    tx.wait_until(one.n > 0)?;
    tx.wait_until(other.n > 0)?;
    Ok((one.n + other.n, tx.attempt()))
}

fn counted(store: &Store, key: &str) -> u64 {
    pollster::block_on(store.scope(count(key))).expect("counts")
}

fn add(store: &Store, key: &str) -> u64 {
    pollster::block_on(store.scope(increment(key))).expect("increments")
}

#[test]
fn a_bounded_queue_of_tasks_loses_nothing_and_gives_nothing_twice() {
    const EACH: u64 = 8;
    for (engine, store) in stores() {
        let shared: Store = store.clone();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let task = |task: u64| {
            let taken = taken.clone();
            tokio::spawn(is_send(shared.scope(async move {
                for n in 0..EACH {
                    if task.is_multiple_of(2) {
                        put("mail", task * EACH + n).await.expect("puts");
                        continue;
                    }
                    let item = take("mail").await.expect("takes");
                    taken.lock().expect("no panic").push(item);
                }
            })))
        };
        many_threads().block_on(async {
            for task in (0..6).map(task).collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
        });
        let mut taken = taken.lock().expect("no panic").clone();
        taken.sort_unstable();
        let put: Vec<u64> = [0, 2, 4].into_iter().flat_map(|task| task * EACH..(task + 1) * EACH).collect();
        assert_eq!(taken, put, "{engine}");
    }
}

#[test]
fn whoever_waits_leaves_the_thread_to_whoever_it_waits_for() {
    for (engine, store) in stores() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (first, second) = runtime.block_on(store.scope(async { tokio::join!(take("mail"), put("mail", 7)) }));
        second.expect("puts");
        assert_eq!(first.expect("takes"), 7, "{engine}");
    }
}

#[test]
fn a_condition_that_never_comes_true_is_a_timeout_that_names_what_it_waits_for() {
    #[transactional(timeout = "1s")]
    async fn wait_for_ever(tx: &Tx, counter: &mut Counter, other: Ref<Counter>) -> Result<()> {
        counter.n += 1;
        tx.wait_until(other.n > 0)
    }
    for (engine, store) in stores() {
        // From now on, the store knows the type.
        counted(&store, "n");
        let error = pollster::block_on(store.scope(wait_for_ever("n", "other"))).expect_err("nobody changes it");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{engine}: {error:?}");
        let said = error.to_string();
        assert!(said.contains("condition of `wait_for_ever`") && said.contains("Counter \"other\""), "{engine}: {said}");
        assert_eq!(counted(&store, "n"), 0, "{engine}");
    }
}

#[test]
fn a_wait_that_the_body_swallows_is_not_committed() {
    for (engine, store) in stores() {
        let body = |tx: &Tx| {
            let n = tx.get::<Counter>("n")?.n;
            tx.get_mut::<Counter>("changed")?.n += 1;
            let waits = tx.wait_until(n > 0).is_err();
            metaparticle::Ok(waits)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let change = async {
            // It is polled second, so the other one has begun.
            assert_eq!(counted(&store, "changed"), 0, "{engine}");
            store.scope(increment("n")).await
        };
        let (waited, changed) = runtime.block_on(async { tokio::join!(store.transaction_async(body), change) });
        changed.expect("increments");
        assert!(!waited.expect("commits"), "{engine}: what a body returned that waits was given away");
        assert_eq!(counted(&store, "changed"), 1, "{engine}");
    }
}

#[test]
fn the_outermost_body_waits_for_a_nested_one() {
    #[transactional]
    fn inner(tx: &Tx, counter: Ref<Counter>) -> Result<u64> {
        tx.wait_until(counter.n > 0)?;
        Ok(counter.n)
    }
    #[transactional]
    async fn outer(counter: &mut Counter) -> Result<u64> {
        counter.n += 1;
        Ok(inner("n").unwrap_or(100))
    }
    for (engine, store) in stores() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (waited, changed) = runtime.block_on(store.scope(async { tokio::join!(outer("outer"), increment("n")) }));
        changed.expect("increments");
        assert_eq!((waited.expect("commits"), counted(&store, "outer")), (1, 1), "{engine}");
    }
}

#[test]
fn waiting_before_anything_was_read_is_an_error_that_says_so() {
    for (engine, store) in stores() {
        let error = pollster::block_on(store.transaction_async(|tx| tx.wait_until(false))).expect_err("it would sleep for ever");
        assert_eq!(error.kind(), ErrorKind::Setup, "{engine}: {error:?}");
    }
}

#[test]
fn a_condition_of_something_that_is_not_answered_yet_does_not_wait() {
    let (store, calls) = Later::store();
    add(&store, "n");
    // The body takes the engine's silence for an absent object.
    let read = store.transaction_async(|tx| {
        let n = tx.get::<Counter>("n").map_or(0, |counter| counter.n);
        let _ = tx.wait_until(n > 0);
        metaparticle::Ok(n)
    });
    assert_eq!(pollster::block_on(read).expect("reads"), 1);
    assert_eq!(calls.watches(), 0);
}

#[test]
fn a_change_right_before_the_wait_begins_is_noticed() {
    let (store, other, calls) = Later::two_stores();
    calls.before_watch(move || assert!(add(&other, "n") > 0));
    let waited = store.transaction_async(|tx| {
        let n = tx.get::<Counter>("n")?.n;
        tx.wait_until(n > 0)?;
        metaparticle::Ok(n)
    });
    assert_eq!(pollster::block_on(waited).expect("nobody else will change it"), 1);
    assert_eq!(calls.watches(), 1);
}

#[test]
fn a_wait_is_no_attempt_and_no_conflict_and_waits_for_all_that_was_read() {
    let (store, other, calls) = Later::two_stores();
    let mut waiting = Box::pin(store.scope(both("one", "other")));
    let mut until_it_watches = |times: u64| {
        while calls.watches() < times {
            assert!(poll_once(&mut waiting).is_pending());
        }
        for _ in 0..10 {
            assert!(poll_once(&mut waiting).is_pending(), "its condition is not true");
        }
        assert_eq!(calls.watches(), times, "nothing has changed");
    };
    until_it_watches(1);
    add(&other, "other");
    until_it_watches(2);
    add(&other, "another");
    until_it_watches(2);
    add(&other, "one");
    assert_eq!(pollster::block_on(waiting).expect("reads"), (2, 1));
    assert_eq!(store.stats().reruns, 0);
}

#[test]
fn a_group_that_was_read_from_is_settled_before_the_wait() {
    let (store, calls) = Later::store();
    add(&store, "another");
    calls.hold_commits();
    let mut writing = Box::pin(store.scope(increment("n")));
    assert!(poll_times(&mut writing, 10).is_pending(), "its commit is held");
    let mut waiting = Box::pin(store.transaction_async(|tx| {
        let n = tx.get::<Counter>("n")?.n;
        tx.wait_until(n > 1)?;
        metaparticle::Ok(n)
    }));
    assert!(poll_times(&mut waiting, 10).is_pending());
    assert_eq!(calls.watches(), 0, "it watches what is not committed");
    calls.release_all();
    assert_eq!(pollster::block_on(writing).expect("increments"), 1);
    assert!(poll_times(&mut waiting, 10).is_pending());
    assert_eq!(calls.watches(), 1, "it watches another version than the commit has left");
    add(&store, "n");
    assert_eq!(pollster::block_on(waiting).expect("reads"), 2);
}

fn poll_times<F: Future>(future: &mut std::pin::Pin<Box<F>>, times: u32) -> Poll<F::Output> {
    (0..times).map(|_| poll_once(future)).find(Poll::is_ready).unwrap_or(Poll::Pending)
}

#[test]
fn what_a_group_has_left_is_not_read_again_once_others_have_changed_it() {
    let (store, other, calls) = Later::two_stores();
    add(&store, "n");
    // So slow that what it leaves is kept for a while.
    calls.before_commit(|| std::thread::sleep(Duration::from_millis(50)));
    assert_eq!(add(&store, "n"), 2);
    calls.before_watch(move || assert!(add(&other, "n") > 0));
    let waited = store.transaction_async(|tx| {
        let n = tx.get::<Counter>("n")?.n;
        tx.wait_until(n > 2)?;
        metaparticle::Ok(n)
    });
    assert_eq!(pollster::block_on(waited).expect("reads"), 3);
    assert_eq!(calls.watches(), 1, "it was run again on what was outdated");
}

#[test]
fn a_future_that_is_dropped_while_it_waits_leaves_nothing_behind() {
    let (store, calls) = Later::store();
    let body = |tx: &Tx| {
        tx.get_mut::<Counter>("changed")?.n += 1;
        let n = tx.get::<Counter>("n")?.n;
        tx.wait_until(n > 0)
    };
    // It does not end by itself.
    let options = TransactionOptions::new().timeout(Duration::MAX);
    let mut waiting = Box::pin(store.transaction_async_with(options, body));
    while calls.watches() == 0 {
        assert!(poll_once(&mut waiting).is_pending());
    }
    drop(waiting);
    assert_eq!((add(&store, "n"), add(&store, "changed")), (1, 1));
    assert_eq!(store.stats().reruns, 0);
}
