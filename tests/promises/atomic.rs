//! A transaction happens once or not at all, and a rolled-back attempt leaves no trace.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use metaparticle::{ErrorKind, Result, Store, Tx, transactional};
use metaparticle_tests::{TestStore, on_every_engine};

use crate::{Account, Counter, count, increment, transfer};

on_every_engine! {
    an_error_rolls_back
    a_panic_rolls_back_and_the_store_stays_usable
    a_caught_panic_inside_the_body_does_not_commit_half_a_change
    a_caught_panic_beside_what_was_not_changed_does_no_harm
    each_attempt_starts_from_the_store
    dropping_a_handle_writes_nothing_by_itself
    a_removal_is_not_undone_by_a_handle_that_is_dropped_later
    the_same_key_twice_is_an_error_that_names_it
    reading_what_is_being_written_is_an_error
    reading_the_same_object_twice_is_fine
    a_transaction_sees_its_own_changes
    nested_changes_inside_a_field_are_written
    a_body_gets_a_real_reference
    a_leaked_handle_is_an_error
    an_absent_object_is_an_error_that_names_it
    an_object_that_may_be_absent_is_changed_if_it_is_there
    the_error_of_the_caller_is_kept
    the_destructor_of_a_thread_local_can_run_a_transaction
    what_a_read_only_transaction_would_write_leaves_nothing
}

fn the_destructor_of_a_thread_local_can_run_a_transaction(engine: &str) {
    struct Last(Store);
    impl Drop for Last {
        fn drop(&mut self) {
            let add = |tx: &Tx| tx.get_mut::<Counter>("n").map(|mut counter| counter.n += 1);
            self.0.transaction(add).expect("adds");
            self.0.run(|| increment("n")).expect("increments");
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let store = TestStore::new(engine);
    let of_thread = Store::clone(&store);
    let thread = std::thread::spawn(move || {
        // First, so that it goes last.
        LAST.with_borrow_mut(|last| *last = Some(Last(of_thread.clone())));
        of_thread.run(|| increment("n")).expect("increments");
    });
    thread.join().expect("no panic");
    assert_eq!(store.run(|| count("n")).expect("counts"), 3);
}

/// Not even that the store knows the type.
fn what_a_read_only_transaction_would_write_leaves_nothing(engine: &str) {
    let store = TestStore::new(engine);
    let options = metaparticle::TransactionOptions::new().read_only();
    let error = store.transaction_with(options, |tx| tx.insert("n", Counter { n: 1 })).expect_err("it is read-only");
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    let known = metaparticle::inspect::Inspector::new(&store).stored_type("Counter").expect("reads");
    assert!(known.is_none(), "{known:?}");
}

fn an_error_rolls_back(engine: &str) {
    #[transactional]
    fn fail(counter: &mut Counter, tx: &Tx) -> Result<(), Box<dyn std::error::Error>> {
        counter.n = 7;
        tx.insert("other", Counter { n: 7 })?;
        Err("no".into())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    increment("n").expect("increments");
    assert_eq!(fail("n").expect_err("fails").to_string(), "no");
    assert_eq!((count("n").expect("counts"), count("other").expect("counts")), (1, 0));
}

fn a_panic_rolls_back_and_the_store_stays_usable(engine: &str) {
    #[transactional]
    fn fail(counter: &mut Counter) -> Result<()> {
        counter.n = 7;
        panic!("in the body");
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    increment("n").expect("increments");
    assert!(catch_unwind(|| fail("n")).is_err());
    assert_eq!(increment("n").expect("increments"), 2);
}

fn a_caught_panic_inside_the_body_does_not_commit_half_a_change(engine: &str) {
    #[transactional]
    fn half(tx: &Tx) -> Result<()> {
        tx.insert("other", Counter { n: 1 })?;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut counter = tx.get_mut::<Counter>("n").expect("loads");
            counter.n = 7;
            panic!("in the middle of a change");
        }));
        assert!(caught.is_err());
        Ok(())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let error = half().expect_err("half a change is not committed");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("Counter \"n\""), "{error}");
    assert_eq!((count("n").expect("counts"), count("other").expect("counts")), (0, 0));
}

fn a_caught_panic_beside_what_was_not_changed_does_no_harm(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let done = store.transaction(|tx| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let counter = tx.get_mut::<Counter>("n").expect("loads");
            panic!("{} is too little", counter.n);
        }));
        assert!(caught.is_err());
        tx.insert("other", Counter { n: 1 })
    });
    done.expect("nothing was cut short");
    assert_eq!((count("n").expect("counts"), count("other").expect("counts")), (0, 1));
}

fn each_attempt_starts_from_the_store(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let total = store.transaction(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        assert_eq!(counter.n, if tx.attempt() == 1 { 0 } else { 1 }, "attempt {} began with something else", tx.attempt());
        counter.n += 10;
        if tx.attempt() == 1 {
            std::thread::scope(|scope| scope.spawn(|| store.run(|| increment("n"))).join().expect("no panic"))?;
        }
        metaparticle::Ok(counter.n)
    });
    assert_eq!(total.expect("adds"), 11);
    assert_eq!(count("n").expect("counts"), 11);
}

fn dropping_a_handle_writes_nothing_by_itself(engine: &str) {
    let store = TestStore::new(engine);
    let failed: Result<()> = store.transaction(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n = 7;
        drop(counter);
        tx.get::<Account>("nobody").map(drop)
    });
    assert!(failed.expect_err("there is nobody").is_not_found());
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
}

fn a_removal_is_not_undone_by_a_handle_that_is_dropped_later(engine: &str) {
    let store = TestStore::new(engine);
    store.run(|| increment("n")).expect("increments");
    let refused: Result<()> = store.transaction(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n = 7;
        tx.remove::<Counter>("n")?;
        Ok(())
    });
    assert_eq!(refused.expect_err("it is in hand").kind(), ErrorKind::Borrowed);
    let removed = store.transaction(|tx| {
        tx.get_mut::<Counter>("n")?.n = 7;
        tx.remove::<Counter>("n")
    });
    assert!(removed.expect("removes"));
    assert!(!store.transaction(|tx| tx.contains::<Counter>("n")).expect("looks"));
}

fn the_same_key_twice_is_an_error_that_names_it(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    store.transaction(|tx| tx.insert("ann", Account { balance: 1 })).expect("inserts");
    let error = transfer("ann", "ann", 1).expect_err("two diverging copies");
    assert_eq!(error.kind(), ErrorKind::Borrowed);
    assert!(error.to_string().contains("Account \"ann\""), "{error}");
}

fn reading_what_is_being_written_is_an_error(engine: &str) {
    let store = TestStore::new(engine);
    let error = store.transaction(|tx| {
        let _writing = tx.get_mut::<Counter>("n")?;
        tx.get::<Counter>("n").map(drop)
    });
    assert_eq!(error.expect_err("it would be old").kind(), ErrorKind::Borrowed);
    let error = store.transaction(|tx| {
        let _reading = tx.get::<Counter>("n")?;
        tx.get_mut::<Counter>("n").map(drop)
    });
    assert_eq!(error.expect_err("it would get old").kind(), ErrorKind::Borrowed);
}

fn reading_the_same_object_twice_is_fine(engine: &str) {
    let store = TestStore::new(engine);
    let sum = store.transaction(|tx| {
        let (one, other) = (tx.get::<Counter>("n")?, tx.get::<Counter>("n")?);
        metaparticle::Ok(one.n + other.n)
    });
    assert_eq!(sum.expect("reads"), 0);
}

fn a_transaction_sees_its_own_changes(engine: &str) {
    let store = TestStore::new(engine);
    store.transaction(|tx| ["b", "d"].iter().try_for_each(|key| tx.insert(*key, Counter { n: 1 }))).expect("inserts");
    let seen = store.transaction(|tx| {
        tx.get_mut::<Counter>("b")?.n = 2;
        tx.insert("c", Counter { n: 3 })?;
        tx.insert("a", Counter { n: 0 })?;
        tx.remove::<Counter>("d")?;
        tx.get_mut::<Counter>("c")?.n += 1;
        assert!(tx.contains::<Counter>("a")? && !tx.contains::<Counter>("d")?);
        assert_eq!(tx.keys::<Counter>(..).collect::<Result<Vec<_>>>()?, ["a", "b", "c"]);
        tx.range::<Counter>(..).map(|entry| entry.map(|(key, counter)| (key, counter.n))).collect::<Result<Vec<_>>>()
    });
    assert_eq!(seen.expect("reads"), [("a".to_owned(), 0), ("b".to_owned(), 2), ("c".to_owned(), 4)]);
    let after = store.transaction(|tx| tx.keys::<Counter>("b"..="d").collect::<Result<Vec<_>>>());
    assert_eq!(after.expect("reads"), ["b", "c"]);
}

fn nested_changes_inside_a_field_are_written(engine: &str) {
    let store = TestStore::new(engine);
    let push = |tag: &str| {
        store.transaction(|tx| {
            tx.get_mut::<crate::Page>("home")?.tags.push(tag.to_owned());
            metaparticle::Ok(())
        })
    };
    push("a").and_then(|()| push("b")).expect("pushes");
    let tags = store.transaction(|tx| metaparticle::Ok(tx.get::<crate::Page>("home")?.tags.clone()));
    assert_eq!(tags.expect("reads"), ["a", "b"]);
}

fn a_body_gets_a_real_reference(engine: &str) {
    #[metaparticle::persistent(default)]
    struct Pair {
        n: u64,
        a: String,
        b: String,
        items: Vec<u64>,
    }
    // None of this compiles through a guard that implements `DerefMut`.
    #[transactional]
    fn shuffle(pair: &mut Pair) -> Result<()> {
        pair.n += 1;
        pair.items.push(pair.n);
        std::mem::swap(&mut pair.a, &mut pair.b);
        let Pair { a, items, .. } = pair;
        a.push_str(&items.len().to_string());
        Ok(())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    shuffle("p").and_then(|()| shuffle("p")).expect("shuffles");
    let pair = store.transaction(|tx| {
        let pair = tx.get::<Pair>("p")?;
        metaparticle::Ok((pair.n, pair.a.clone(), pair.b.clone(), pair.items.clone()))
    });
    assert_eq!(pair.expect("reads"), (2, "2".to_owned(), "1".to_owned(), vec![1, 2]));
}

fn a_leaked_handle_is_an_error(engine: &str) {
    let store = TestStore::new(engine);
    let error = store.transaction(|tx| {
        let mut counter = tx.get_mut::<Counter>("n")?;
        counter.n = 7;
        std::mem::forget(counter);
        metaparticle::Ok(())
    });
    let error = error.expect_err("its changes are not known");
    assert!(error.to_string().contains("Counter \"n\""), "{error}");
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
}

fn an_absent_object_is_an_error_that_names_it(engine: &str) {
    let store = TestStore::new(engine);
    let error = store.run(|| transfer("ann", "ben", 1)).expect_err("there is no ann");
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), "there is no Account \"ann\"");
}

fn the_error_of_the_caller_is_kept(engine: &str) {
    #[derive(Debug)]
    enum Refused {
        Poor { by: i64 },
        Store(metaparticle::Error),
    }
    impl From<metaparticle::Error> for Refused {
        fn from(error: metaparticle::Error) -> Self {
            Self::Store(error)
        }
    }
    #[transactional]
    fn withdraw(account: &mut Account, amount: i64) -> Result<i64, Refused> {
        account.balance -= amount;
        if account.balance < 0 {
            return Err(Refused::Poor { by: -account.balance });
        }
        Ok(account.balance)
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    store.transaction(|tx| tx.insert("ann", Account { balance: 5 })).expect("inserts");
    assert!(matches!(withdraw("ann", 7), Err(Refused::Poor { by: 2 })));
    assert!(matches!(withdraw("ben", 7), Err(Refused::Store(error)) if error.is_not_found()));
    assert_eq!(withdraw("ann", 5).expect("withdraws"), 0);
}

fn an_object_that_may_be_absent_is_changed_if_it_is_there(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    let add = || {
        store.transaction(|tx| {
            let account = tx.get_mut::<Option<Account>>("savings")?;
            metaparticle::Ok(account.map(|mut account| account.balance += 5).is_some())
        })
    };
    assert!(!add().expect("there is none"));
    store.transaction(|tx| tx.insert("savings", Account { balance: 100 })).expect("inserts");
    assert!(add().expect("adds"));
    let balance = store.transaction(|tx| metaparticle::Ok(tx.get::<Account>("savings")?.balance));
    assert_eq!(balance.expect("reads"), 105);
}
