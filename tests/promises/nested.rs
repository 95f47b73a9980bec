//! A transactional function that is called inside another one joins it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use metaparticle::{Error, ErrorKind, Ref, Result, Store, Tx, transactional};
use metaparticle_tests::{TestStore, on_every_engine};

use crate::{Account, Counter, count, increment};

on_every_engine! {
    nested_functions_commit_together
    a_nested_error_undoes_only_its_own_changes
    a_nested_panic_that_is_caught_undoes_only_its_own_changes
    an_outer_error_undoes_nested_changes
    what_the_outer_function_has_in_hand_cannot_be_changed_by_a_nested_one
    another_store_is_another_transaction
    a_nested_conflict_runs_the_whole_transaction_again
    a_nested_read_only_function_cannot_change_anything
    a_nested_read_only_function_sees_what_was_changed_before
    what_a_nested_function_leaves_may_run_transactions_as_it_goes
    what_a_nested_function_could_not_store_is_undone_with_it
    changes_of_many_nested_functions_are_undone_one_by_one
    half_a_change_of_a_nested_function_is_not_forgotten
    half_a_change_of_the_outer_function_is_not_forgotten
}

#[transactional]
fn increment_and_fail(counter: &mut Counter, tx: &Tx) -> Result<()> {
    counter.n += 100;
    increment("inner")?;
    tx.insert("made", Counter { n: 1 })?;
    tx.remove::<Counter>("kept")?;
    tx.get::<Account>("nobody").map(drop)
}

/// Runs a transaction as it goes.
struct Increments(Store);

impl Drop for Increments {
    fn drop(&mut self) {
        self.0.run(|| increment("inner")).expect("increments");
    }
}

fn what_a_nested_function_leaves_may_run_transactions_as_it_goes(engine: &str) {
    let store = TestStore::new(engine);
    let fails = |panics: bool| {
        store.transaction(|tx| -> Result<()> {
            let increments = Increments(store.clone());
            tx.after_commit(move || drop(increments));
            assert!(!panics, "as it should");
            tx.get::<Account>("nobody").map(drop)
        })
    };
    let outer = store.transaction(|tx| {
        assert!(fails(false).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| fails(true))).is_err());
        tx.get_mut::<Counter>("n")?.n += 1;
        metaparticle::Ok(())
    });
    outer.expect("only the nested functions have failed");
    let _entered = store.enter();
    assert_eq!(counts(), [1, 2, 0, 0]);
}

fn counts() -> [u64; 4] {
    ["n", "inner", "made", "kept"].map(|key| count(key).expect("counts"))
}

fn nested_functions_commit_together(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let sum = store.transaction(|_tx| metaparticle::Ok(increment("n")? + increment("n")? + increment("inner")?));
    assert_eq!(sum.expect("commits"), 1 + 2 + 1);
    assert_eq!((counts(), store.stats().commits), ([2, 1, 0, 0], 1));
}

fn a_nested_error_undoes_only_its_own_changes(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    increment("kept").expect("increments");
    store
        .transaction(|_tx| {
            increment("n")?;
            increment("inner")?;
            assert!(increment_and_fail("n").expect_err("fails").is_not_found());
            assert_eq!(counts(), [1, 1, 0, 1], "seen inside the transaction");
            increment("n").map(drop)
        })
        .expect("commits");
    assert_eq!(counts(), [2, 1, 0, 1]);
}

fn a_nested_panic_that_is_caught_undoes_only_its_own_changes(engine: &str) {
    #[transactional]
    fn increment_and_panic(counter: &mut Counter) -> Result<()> {
        increment("inner")?;
        counter.n += 100;
        panic!("in the nested body");
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    store
        .transaction(|_tx| {
            increment("n")?;
            assert!(catch_unwind(AssertUnwindSafe(|| increment_and_panic("n"))).is_err());
            increment("n").map(drop)
        })
        .expect("commits");
    assert_eq!(counts(), [2, 0, 0, 0]);
}

fn an_outer_error_undoes_nested_changes(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let failed: Result<()> = store.transaction(|tx| {
        increment("n")?;
        tx.get::<Account>("nobody").map(drop)
    });
    failed.expect_err("fails");
    assert_eq!(counts(), [0; 4]);
}

fn what_the_outer_function_has_in_hand_cannot_be_changed_by_a_nested_one(engine: &str) {
    #[transactional]
    fn outer(counter: &mut Counter) -> Result<()> {
        counter.n += 1;
        increment("n").map(drop)
    }
    let store = TestStore::new(engine);
    let error = store.run(|| outer("n")).expect_err("it is in hand");
    assert_eq!(error.kind(), ErrorKind::Borrowed);
}

fn another_store_is_another_transaction(engine: &str) {
    let (store, other) = (TestStore::new(engine), TestStore::new(engine));
    let failed: Result<(), Error> = store.transaction(|tx| {
        tx.insert("n", Counter { n: 5 })?;
        other.run(|| increment("n"))?;
        // And the first one inside of that is the one that is running.
        other.transaction(|_tx| store.run(|| increment("n")))?;
        assert_eq!(tx.get::<Counter>("n")?.n, 6);
        tx.get::<Account>("nobody").map(drop)
    });
    failed.expect_err("fails");
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
    assert_eq!(other.run(|| count("n")).expect("counts"), 1);
}

fn a_nested_conflict_runs_the_whole_transaction_again(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let attempts = store.transaction(|tx| {
        increment("n")?;
        if tx.attempt() == 1 {
            std::thread::scope(|scope| scope.spawn(|| store.run(|| increment("n"))).join().expect("no panic"))?;
        }
        // Finds the conflict while it loads; that its error is ignored changes nothing.
        let _ = increment("inner");
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("commits"), 2);
    assert_eq!(counts(), [2, 1, 0, 0]);
}

fn a_nested_read_only_function_cannot_change_anything(engine: &str) {
    #[transactional(read_only)]
    fn look(counter: &mut Counter) -> Result<u64> {
        counter.n += 1;
        Ok(counter.n)
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let error = look("n").expect_err("changes something");
    assert!(error.kind() == ErrorKind::ReadOnly && error.to_string().contains("Counter \"n\""), "{error}");
    store
        .transaction(|_tx| {
            increment("n")?;
            assert_eq!(look("n").expect_err("changes something").kind(), ErrorKind::ReadOnly);
            metaparticle::Ok(())
        })
        .expect("commits");
    assert_eq!(counts(), [1, 0, 0, 0]);
}

fn a_nested_read_only_function_sees_what_was_changed_before(engine: &str) {
    #[transactional(read_only)]
    fn look(counter: Ref<Counter>) -> Result<u64> {
        Ok(counter.n)
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let seen = store.transaction(|_tx| {
        increment("n")?;
        look("n")
    });
    assert_eq!(seen.expect("it changes nothing itself"), 1);
}

/// Changes an object by half, and catches the panic that ends the change.
fn cut_short(tx: &Tx, key: &str) {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let mut counter = tx.get_mut::<Counter>(key).expect("loads");
        counter.n = 7;
        panic!("in the middle of a change");
    }));
    assert!(caught.is_err());
}

#[transactional]
fn half(key: &str, tx: &Tx) -> Result<()> {
    cut_short(tx, key);
    Ok(())
}

#[transactional]
fn half_and_fail(key: &str, tx: &Tx) -> Result<()> {
    half(key)?;
    tx.get::<Account>("nobody").map(drop)
}

/// What is undone does not matter, whatever else happens in the transaction; all else does.
fn half_a_change_of_a_nested_function_is_not_forgotten(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let run = |steps: &[&dyn Fn() -> Result<()>]| store.transaction(|_tx| steps.iter().try_for_each(|step| step()));
    let (left, counted) = (|| half("left"), || increment("n").map(drop));
    let undone = || {
        half_and_fail("undone").expect_err("fails");
        Ok(())
    };
    run(&[&undone, &counted]).expect("what was undone does not matter");
    for steps in [[&left as &dyn Fn() -> Result<()>, &counted], [&left, &undone], [&undone, &left]] {
        let error = run(&steps).expect_err("half a change was forgotten");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(error.to_string().contains("Counter \"left\""), "{error}");
    }
    assert_eq!(["n", "left", "undone"].map(|key| count(key).expect("counts")), [1, 0, 0]);
}

fn half_a_change_of_the_outer_function_is_not_forgotten(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let error = store.transaction(|tx| {
        cut_short(tx, "left");
        half_and_fail("undone").expect_err("fails");
        metaparticle::Ok(())
    });
    let error = error.expect_err("half a change was forgotten");
    assert!(error.kind() == ErrorKind::Interrupted && error.to_string().contains("Counter \"left\""), "{error}");
    assert_eq!(count("left").expect("counts"), 0);
}

/// A value that no bytes could be read back as.
#[metaparticle::persistent(default)]
struct Document {
    content: serde_json::Value,
    n: u64,
}

fn what_a_nested_function_could_not_store_is_undone_with_it(engine: &str) {
    #[transactional]
    fn fill(document: &mut Document, counter: Ref<Counter>) -> Result<u64> {
        document.content = serde_json::json!({ "a": 1 });
        Err(Error::engine(ErrorKind::Engine, format!("it is {}", counter.n)))
    }
    #[transactional]
    fn fill_all(document: &mut Document) -> Result<()> {
        document.n = 1;
        document.content = serde_json::json!({ "a": 1 });
        Ok(())
    }
    let store = TestStore::new(engine);
    let fill_in_vain = |_: &Tx| {
        assert!(fill("d", "n").is_err());
        increment("n")
    };
    assert_eq!(store.run(|| store.transaction(fill_in_vain)).expect("only what failed is undone"), 1);
    let error = store.run(|| store.transaction(|_| fill_all("d"))).expect_err("it cannot be stored");
    assert_eq!(error.kind(), ErrorKind::Encoding);
    // What has failed by itself tells why.
    assert_eq!(store.run(|| fill("d", "n")).expect_err("it fails").kind(), ErrorKind::Engine);
}

/// Each goes back to what was before it, however deeply it was nested.
fn changes_of_many_nested_functions_are_undone_one_by_one(engine: &str) {
    const ALL: &str = "all";
    #[transactional]
    fn add(counter: &mut Counter, tx: &Tx, depth: usize, fails: u32) -> Result<()> {
        counter.n += 1;
        tx.get_mut::<Counter>(ALL)?.n += 1;
        if depth > 0 {
            let _ = add(depth.to_string(), depth - 1, fails);
            tx.get_mut::<Counter>(ALL)?.n += 1;
            let _ = add(depth.to_string(), 0, fails);
        }
        if fails & (1 << depth) > 0 { Err(Error::engine(ErrorKind::Engine, "it fails")) } else { Ok(()) }
    }
    /// The same, on a map that is put back as a whole.
    fn add_to(map: &mut BTreeMap<String, u64>, key: &str, depth: usize, fails: u32) {
        let before = map.clone();
        let add_one = |map: &mut BTreeMap<String, u64>, key: &str| *map.entry(key.to_owned()).or_default() += 1;
        add_one(map, key);
        add_one(map, ALL);
        if depth > 0 {
            add_to(map, &depth.to_string(), depth - 1, fails);
            add_one(map, ALL);
            add_to(map, &depth.to_string(), 0, fails);
        }
        if fails & (1 << depth) > 0 {
            *map = before;
        }
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let mut expected = BTreeMap::new();
    let added = store.transaction(|tx| {
        for fails in 0..16 {
            let _ = add("first", 3, fails);
        }
        tx.range::<Counter>(..).map(|entry| entry.map(|(key, counter)| (key, counter.n))).collect::<Result<BTreeMap<_, _>>>()
    });
    for fails in 0..16 {
        add_to(&mut expected, "first", 3, fails);
    }
    assert_eq!(added.expect("commits"), expected);
}
