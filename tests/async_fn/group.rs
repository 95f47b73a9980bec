//! Transactions on one object that are committed together, on an engine that answers later: it may not be seen from their results.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use metaparticle::{Ref, Result, Store, Tx, transactional};

use crate::later::{Calls, Later};
use crate::{Counter, count, increment, many_threads};

pub(crate) type Running<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

pub(crate) fn started<T: 'static>(store: &Store, future: impl Future<Output = Result<T>> + Send + 'static) -> Running<T> {
    let mut future: Running<T> = Box::pin(store.scope(future));
    wait(&mut future);
    future
}

/// Polls until it waits for something that this thread does not bring about.
pub(crate) fn wait<T>(future: &mut Running<T>) {
    for _ in 0..50 {
        assert!(poll(future).is_pending(), "it has to wait for a commit that is held");
    }
}

pub(crate) fn poll<T>(future: &mut Running<T>) -> Poll<Result<T>> {
    future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// Has the schema written, and holds all commits from then on.
pub(crate) fn hold(store: &Store, calls: &Calls) {
    pollster::block_on(store.scope(increment("another"))).expect("increments");
    calls.reset();
    calls.hold_commits();
}

/// A commit that is on its way, and `more` increments behind it.
fn held(store: &Store, calls: &Calls, more: usize) -> Vec<Running<u64>> {
    hold(store, calls);
    (0..=more).map(|_| started(store, increment("n"))).collect()
}

fn finished(all: Vec<Running<u64>>) -> Vec<u64> {
    all.into_iter().map(|future| pollster::block_on(future).expect("increments")).collect()
}

fn counted(store: &Store) -> u64 {
    pollster::block_on(store.scope(count("n"))).expect("counts")
}

#[test]
fn what_waits_for_a_commit_of_its_object_is_committed_together() {
    let (store, calls) = Later::store();
    let all = held(&store, &calls, 9);
    calls.release_all();
    assert_eq!(finished(all), (1..=10).collect::<Vec<_>>());
    assert_eq!(calls.commits(), 2, "one alone, nine together");
    assert_eq!(counted(&store), 10);
    assert_eq!((store.stats().commits, store.stats().reruns), (11, 0));
}

#[test]
fn all_of_a_group_run_again_when_another_process_was_faster() {
    let (store, other, calls) = Later::two_stores();
    let effects = Arc::new(AtomicU64::new(0));
    hold(&store, &calls);
    let all = (0..10).map(|_| {
        let (store, effects) = (store.clone(), effects.clone());
        let add = move |tx: &Tx| {
            let effects = effects.clone();
            tx.after_commit(move || {
                effects.fetch_add(1, Ordering::SeqCst);
            });
            let mut counter = tx.get_mut::<Counter>("n")?;
            counter.n += 1;
            Ok(counter.n)
        };
        let mut future: Running<u64> = Box::pin(async move { store.transaction_async(add).await });
        wait(&mut future);
        future
    });
    let all: Vec<_> = all.collect();
    calls.before_commit(move || assert_eq!(pollster::block_on(other.scope(increment("n"))).expect("increments"), 1));
    calls.release_all();
    let results: BTreeSet<u64> = finished(all).into_iter().collect();
    assert_eq!(results, (2..=11).collect());
    assert_eq!(counted(&store), 11);
    assert_eq!(effects.load(Ordering::SeqCst), 10);
}

#[test]
fn fields_that_others_do_not_change_are_rebased_as_a_group_too() {
    let (store, other, calls) = Later::two_stores();
    pollster::block_on(store.scope(increment("n"))).expect("increments");
    hold(&store, &calls);
    let all: Vec<Running<u32>> = (0..5)
        .map(|_| {
            let store = store.clone();
            let add = |tx: &Tx| {
                let mut counter = tx.get_mut::<Counter>("n")?;
                let n = counter.n() + 1;
                counter.set_n(n);
                Ok(tx.attempt())
            };
            let mut future: Running<u32> = Box::pin(async move { store.transaction_async(add).await });
            wait(&mut future);
            future
        })
        .collect();
    calls.before_commit(move || {
        let retitle = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.set_title("new".to_owned()));
        other.transaction(retitle).expect("retitles");
    });
    calls.release_all();
    // The first group read nothing that has changed. What the others have read of its count is what it was when it was rebased.
    let attempts: Vec<u32> = all.into_iter().map(|future| pollster::block_on(future).expect("adds")).collect();
    assert_eq!(attempts[0], 1);
    let read = |tx: &Tx| tx.get::<Counter>("n").map(|counter| (counter.n, counter.title.clone()));
    assert_eq!(store.transaction(read).expect("reads"), (6, "new".to_owned()));
}

/// Only reads, but nobody knows that beforehand. (Functions that are `read_only` ask the engine.)
#[transactional]
async fn look(counter: Ref<Counter>) -> Result<u64> {
    Ok(counter.n)
}

#[test]
fn nothing_is_told_of_a_commit_that_fails() {
    let (store, other, calls) = Later::two_stores();
    let increments = held(&store, &calls, 1);
    let count = started(&store, look("n"));
    let change = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n = 100);
    calls.before_commit(move || other.transaction(change).expect("changes"));
    calls.release_all();
    assert!(pollster::block_on(count).expect("counts") >= 100);
    assert_eq!(finished(increments).into_iter().collect::<BTreeSet<_>>(), [101, 102].into());
}

#[test]
fn an_error_that_tells_of_a_commit_that_fails_is_not_given_out() {
    let (store, other, calls) = Later::two_stores();
    let increments = held(&store, &calls, 1);
    let refuse = move |tx: &Tx| -> Result<u64> {
        Err(metaparticle::Error::engine(metaparticle::ErrorKind::Engine, tx.get::<Counter>("n")?.n.to_string()))
    };
    let refused = store.clone();
    let mut refused: Running<u64> = Box::pin(async move { refused.transaction_async(refuse).await });
    wait(&mut refused);
    let change = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n = 100);
    calls.before_commit(move || other.transaction(change).expect("changes"));
    calls.release_all();
    let error = pollster::block_on(refused).expect_err("it refuses").to_string();
    assert!(["100", "101", "102"].iter().any(|n| error.contains(n)), "{error}");
    drop(increments);
}

#[test]
fn what_another_process_has_changed_since_a_commit_is_seen_although_its_answer_is_not_there() {
    let (store, other, calls) = Later::two_stores();
    pollster::block_on(store.scope(increment("another"))).expect("increments");
    let counting: Arc<Mutex<Option<Running<u64>>>> = Arc::default();
    let (begun, of_store) = (counting.clone(), store.clone());
    calls.after_commit(move || {
        assert_eq!(pollster::block_on(other.scope(increment("n"))).expect("increments"), 2);
        // It begins after the other has returned.
        let mut count: Running<u64> = Box::pin(of_store.scope(look("n")));
        wait(&mut count);
        *begun.lock().expect("no panic") = Some(count);
    });
    assert_eq!(pollster::block_on(store.scope(increment("n"))).expect("increments"), 1);
    let count = counting.lock().expect("no panic").take().expect("it has begun");
    assert_eq!(pollster::block_on(count).expect("counts"), 2);
}

#[test]
fn a_panic_because_of_a_commit_that_fails_is_not_given_out() {
    let (store, other, calls) = Later::two_stores();
    let increments = held(&store, &calls, 1);
    let panicking = store.clone();
    let panics = |tx: &Tx| {
        let n = tx.get::<Counter>("n")?.n;
        assert!(n >= 100, "there were {n}");
        Ok(n)
    };
    let mut panicking: Running<u64> = Box::pin(async move { panicking.transaction_async(panics).await });
    wait(&mut panicking);
    let change = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n = 100);
    calls.before_commit(move || other.transaction(change).expect("changes"));
    calls.release_all();
    assert!(pollster::block_on(panicking).expect("it does not panic any more") >= 100);
    drop(increments);
    // A panic because of what is so goes on.
    let late = catch_unwind(AssertUnwindSafe(|| {
        pollster::block_on(store.transaction_async(|tx| -> Result<()> { panic!("{}", tx.get::<Counter>("n")?.n) }))
    }));
    assert!(late.is_err());
}

#[test]
fn what_another_process_has_changed_between_two_calls_is_seen() {
    let (store, other, _) = Later::two_stores();
    for n in 0..20 {
        assert_eq!(pollster::block_on(store.scope(increment("n"))).expect("increments"), 2 * n + 1);
        assert_eq!(pollster::block_on(other.scope(look("n"))).expect("looks"), 2 * n + 1);
        assert_eq!(pollster::block_on(other.scope(increment("n"))).expect("increments"), 2 * n + 2);
        assert_eq!(pollster::block_on(store.scope(look("n"))).expect("looks"), 2 * n + 2);
        assert_eq!(counted(&store), 2 * n + 2);
    }
}

#[test]
fn a_store_ends_although_commits_were_given_up() {
    let (store, calls) = Later::store();
    let all = held(&store, &calls, 3);
    drop(all);
    calls.release_all();
    pollster::block_on(store.scope(increment("other"))).expect("increments");
    let engine = Arc::downgrade(&calls);
    drop((store, calls));
    assert!(engine.upgrade().is_none(), "something still has the engine");
}

/// So that it never waits for a commit, and needs no comparison afterwards.
#[test]
fn a_function_that_is_read_only_asks_the_engine() {
    let (store, calls) = Later::store();
    let increments = held(&store, &calls, 2);
    assert_eq!(counted(&store), 0);
    let options = metaparticle::TransactionOptions::new().read_only();
    let read = store.transaction_with(options, |tx| tx.get::<Counter>("n").map(|counter| counter.n));
    assert_eq!(read.expect("reads"), 0);
    calls.release_all();
    assert_eq!(finished(increments), [1, 2, 3]);
}

#[test]
fn members_that_are_dropped_do_not_hold_up_the_others() {
    for dropped in 0..5 {
        let (store, calls) = Later::store();
        let mut all = held(&store, &calls, 4);
        drop(all.remove(dropped));
        calls.release_all();
        let results = finished(all);
        // What was offered to a group may be committed with it.
        assert_eq!(results.iter().collect::<BTreeSet<_>>().len(), 4, "{results:?}");
        assert_eq!(counted(&store), 5, "{dropped}");
    }
}

#[test]
fn a_group_that_nobody_waits_for_is_not_committed() {
    let (store, calls) = Later::store();
    let mut all = held(&store, &calls, 3);
    all.truncate(1);
    calls.release_all();
    assert_eq!(finished(all), [1]);
    assert_eq!(counted(&store), 1);
    assert_eq!(pollster::block_on(store.scope(increment("n"))).expect("increments"), 2);
}

#[test]
fn threads_and_futures_are_committed_together() {
    let (store, calls) = Later::store();
    let mut all = held(&store, &calls, 3);
    thread::scope(|scope| {
        let add = || {
            store.transaction(|tx| {
                let mut counter = tx.get_mut::<Counter>("n")?;
                counter.n += 1;
                metaparticle::Ok(counter.n)
            })
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        while store.stats().attempts < 9 {
            thread::yield_now();
        }
        calls.release_all();
        let mut results: BTreeSet<u64> =
            threads.into_iter().map(|thread| thread.join().expect("no panic").expect("adds")).collect();
        results.extend(finished(std::mem::take(&mut all)));
        assert_eq!(results, (1..=8).collect());
    });
    assert_eq!(counted(&store), 8);
}

#[test]
fn an_object_that_a_group_removes_is_absent_for_the_next() {
    let (store, calls) = Later::store();
    pollster::block_on(store.scope(increment("n"))).expect("increments");
    let mut all = held(&store, &calls, 1);
    let removing = store.clone();
    let mut removal: Running<u64> =
        Box::pin(async move { removing.transaction_async(|tx| tx.remove::<Counter>("n").map(u64::from)).await });
    wait(&mut removal);
    all.extend([removal, started(&store, increment("n")), started(&store, increment("n"))]);
    calls.release_all();
    assert_eq!(finished(all), [2, 3, 1, 1, 2]);
    assert_eq!(counted(&store), 2);
}

/// Moves one from `from` to `to`.
#[transactional]
async fn transfer(from: &mut Counter, to: &mut Counter) -> Result<u64> {
    from.n -= 1;
    to.n += 1;
    Ok(0)
}

#[transactional]
async fn sum(tx: &Tx) -> Result<u64> {
    let [a, b, c] = ["a", "b", "c"].map(|key| tx.get::<Counter>(key).map(|counter| counter.n));
    Ok(a? + b? + c?)
}

#[test]
fn groups_and_transactions_of_several_objects_are_serializable_together() {
    let (store, other, _) = Later::two_stores();
    let fill =
        |tx: &Tx| ["a", "b", "c"].into_iter().try_for_each(|key| tx.get_mut::<Counter>(key).map(|mut counter| counter.n = 1000));
    store.transaction(fill).expect("fills");
    let runtime = many_threads();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..24 {
            let store = if task % 3 == 0 { other.clone() } else { store.clone() };
            tasks.push(tokio::spawn(store.clone().scope(async move {
                let keys = ["a", "b", "c"];
                let mut sums = Vec::new();
                for step in 0..20 {
                    let (here, there) = (keys[(task + step) % 3], keys[(task + step + 1) % 3]);
                    match (task + step) % 4 {
                        0 => drop(transfer(here, there).await.expect("transfers")),
                        1 => sums.push(sum().await.expect("sums")),
                        _ => drop(increment(here).await.expect("increments")),
                    }
                }
                sums
            })));
        }
        let increments = (0..24).flat_map(|task| (0..20).map(move |step| task + step)).filter(|n| n % 4 > 1).count() as u64;
        for task in tasks {
            let sums = task.await.expect("no panic");
            assert!(sums.is_sorted() && sums.iter().all(|sum| (3000..=3000 + increments).contains(sum)), "{sums:?}");
        }
        assert_eq!(store.scope(sum()).await.expect("sums"), 3000 + increments);
    });
}
