//! What was read before the body has asked for it, because the last call or the last attempt has: it must make no difference but in time.

use std::future::Future;

use metaparticle::{Result, Store, TransactionOptions, Tx};

use crate::later::Later;
use crate::{Counter, count, increment};

fn once() -> TransactionOptions {
    TransactionOptions::new().name("habitual").attempts(1)
}

/// Reads "first" and then `key`, as one and the same function does.
fn read(store: &Store, key: &'static str) -> impl Future<Output = Result<u64>> + use<> {
    let store = store.clone();
    async move {
        let body = move |tx: &Tx| Ok(tx.get::<Counter>("first")?.n + tx.get::<Counter>(key)?.n);
        store.transaction_async_with(once(), body).await
    }
}

fn add(store: &Store, key: &'static str) {
    pollster::block_on(store.scope(increment(key))).expect("increments");
}

#[test]
fn what_was_read_on_a_guess_and_not_asked_for_is_no_conflict() {
    let (store, other, calls) = Later::two_stores();
    pollster::block_on(read(&store, "second")).expect("reads");
    calls.before_read("third", move || add(&other, "second"));
    pollster::block_on(read(&store, "third")).expect("nothing that it asked for has changed");
}

#[test]
fn what_was_read_with_a_guess_that_has_changed_is_still_compared() {
    let (store, other, calls) = Later::two_stores();
    pollster::block_on(read(&store, "second")).expect("reads");
    let of_calls = calls.clone();
    calls.before_read("third", move || {
        add(&other, "second");
        of_calls.before_read("fourth", move || ["first", "fourth"].into_iter().for_each(|key| add(&other, key)));
    });
    let sum = store.transaction_async_with(once().attempts(2), |tx| {
        let first = tx.get::<Counter>("first")?.n;
        tx.get::<Counter>("third")?;
        assert!(tx.get::<Counter>("fourth")?.n <= first, "a mixture");
        metaparticle::Ok(first)
    });
    assert_eq!(pollster::block_on(sum).expect("the second attempt sees both"), 1);
}

#[test]
fn what_was_read_on_a_guess_and_asked_for_is_compared() {
    let (store, other, calls) = Later::two_stores();
    calls.read_at_once();
    // The first attempt loses, so that the second one reads at once what that has asked for.
    let of_other = other.clone();
    calls.before_commit(move || add(&of_other, "first"));
    calls.before_read("third", move || ["second", "third"].into_iter().for_each(|key| add(&other, key)));
    let both = store.transaction_async_with(once().attempts(3), |tx| {
        tx.get_mut::<Counter>("first")?.n += 1;
        let second = tx.get::<Counter>("second")?.n;
        if tx.attempt() > 1 {
            assert!(tx.get::<Counter>("third")?.n <= second, "a mixture");
        }
        metaparticle::Ok(second)
    });
    assert_eq!(pollster::block_on(both).expect("the third attempt sees both"), 1);
}

#[test]
fn what_was_read_on_a_guess_and_not_asked_for_does_not_hide_a_range() {
    let (store, other, calls) = Later::two_stores();
    add(&other, "first");
    pollster::block_on(read(&store, "second")).expect("reads");
    calls.before_scan(0, move || add(&other, "second"));
    let keys = store.transaction_async_with(once(), |tx| {
        tx.get::<Counter>("first")?;
        tx.keys::<Counter>(..).collect::<Result<Vec<_>>>()
    });
    assert_eq!(pollster::block_on(keys).expect("nothing that it asked for has changed"), ["first", "second"]);
}

#[test]
fn what_was_read_on_a_guess_and_is_met_in_a_range_is_compared() {
    let (store, other, calls) = Later::two_stores();
    ["first", "second", "third"].into_iter().for_each(|key| add(&store, key));
    pollster::block_on(read(&store, "second")).expect("reads");
    let both = move |tx: &Tx| {
        tx.get_mut::<Counter>("second")?.n += 1;
        tx.insert("zero", Counter { n: 1, title: String::new() })
    };
    calls.before_read("zero", move || other.transaction(both).expect("changes both"));
    let sum = store.transaction_async_with(once().attempts(2), |tx| {
        tx.get::<Counter>("first")?;
        let second = tx.range::<Counter>("second".."third").map(|found| Ok(found?.1.n)).sum::<Result<u64>>()?;
        metaparticle::Ok((second, tx.get::<Counter>("zero")?.n))
    });
    assert_eq!(pollster::block_on(sum).expect("the second attempt sees both"), (2, 1), "a mixture");
}

#[test]
fn what_only_an_earlier_attempt_has_asked_for_is_no_conflict() {
    let (store, other, calls) = Later::two_stores();
    let point = |to: &'static str| move |tx: &Tx| tx.get_mut::<Counter>("first").map(|mut first| first.title = to.to_owned());
    store.transaction(point("second")).expect("points");
    let of_other = other.clone();
    calls.before_commit(move || of_other.transaction(point("third")).expect("points elsewhere"));
    calls.before_read("third", move || add(&other, "second"));
    let follow = store.transaction_async_with(once().attempts(2), |tx| {
        let to = tx.get::<Counter>("first")?.title.clone();
        tx.get_mut::<Counter>(&to)?.n += 1;
        metaparticle::Ok(to)
    });
    assert_eq!(pollster::block_on(follow).expect("nothing that it asked for has changed twice"), "third");
    assert_eq!(pollster::block_on(store.scope(count("third"))).expect("counts"), 1);
}

#[test]
fn what_only_an_earlier_attempt_has_asked_for_does_not_hide_a_range() {
    let (store, other, calls) = Later::two_stores();
    add(&store, "first");
    calls.read_at_once();
    let of_other = other.clone();
    calls.before_commit(move || add(&of_other, "first"));
    calls.before_scan(0, move || add(&other, "second"));
    let keys = store.transaction_async_with(once().attempts(2), |tx| {
        tx.get_mut::<Counter>("first")?.n += 1;
        if tx.attempt() == 1 {
            return tx.get::<Counter>("second").map(|_| Vec::new());
        }
        tx.keys::<Counter>(..).collect::<Result<Vec<_>>>()
    });
    assert_eq!(pollster::block_on(keys).expect("nothing that it asked for has changed twice"), ["first", "second"]);
}

#[test]
fn what_was_guessed_and_cannot_be_read_fails_only_who_asks_for_it() {
    let (store, calls) = Later::store();
    pollster::block_on(read(&store, "second")).expect("reads");
    calls.damage("second");
    calls.reset();
    pollster::block_on(read(&store, "third")).expect("it did not ask for the damaged one");
    assert_eq!(calls.reads(), 3, "with the guess, without it, and the other one");
    calls.reset();
    pollster::block_on(read(&store, "third")).expect("reads");
    assert_eq!(calls.reads(), 1, "it is in the habit of that now");
    let error = pollster::block_on(read(&store, "second")).expect_err("it is damaged");
    assert!(error.is_corrupt() && error.to_string().contains("Counter \"second\""), "{error}");
}

#[test]
fn a_body_is_told_what_cannot_be_read_and_may_go_on_without_it() {
    let (store, calls) = Later::store();
    calls.damage("damaged");
    let copied = store.transaction_async_with(once(), |tx| {
        for key in ["damaged", "whole", "damaged"] {
            match tx.get_mut::<Counter>(key) {
                Ok(mut counter) => counter.n += 1,
                Err(error) => assert!(error.is_corrupt() && error.to_string().contains("Counter \"damaged\""), "{error}"),
            }
        }
        Ok::<(), metaparticle::Error>(())
    });
    pollster::block_on(copied).expect("it goes on");
    assert_eq!(pollster::block_on(read(&store, "whole")).expect("it is whole"), 1);
}

#[test]
fn a_conflict_after_what_could_not_be_read_names_its_object() {
    let (store, other, calls) = Later::two_stores();
    calls.damage("damaged");
    calls.before_read("last", move || add(&other, "whole"));
    let read = store.transaction_async_with(once(), |tx| {
        let damaged = tx.get::<Counter>("damaged").map(|counter| counter.n);
        assert!(damaged.is_err(), "it cannot be read");
        ["whole", "last"].into_iter().map(|key| Ok(tx.get::<Counter>(key)?.n)).sum::<Result<u64>>()
    });
    let error = pollster::block_on(read).expect_err("it has changed");
    assert!(error.is_conflict() && error.to_string().contains("Counter \"whole\""), "{error}");
}
