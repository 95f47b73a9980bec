//! Functions in functions, and what is undone.

use metaparticle::{Error, Result, Tx, persistent, transactional};

use super::{Job, together};
use crate::explorer::place::{Place, below};

#[persistent(default)]
struct Counter {
    count: u64,
}

#[transactional]
fn add(counter: &mut Counter, number: u64) -> Result<()> {
    counter.count += number;
    Ok(())
}

/// Adds to both, and fails.
#[transactional]
fn add_and_fail(tx: &Tx, one: &str, other: &str) -> Result<(), Failed> {
    add(one, 100)?;
    tx.get_mut::<Counter>(other)?.count += 100;
    Err(Failed::Asked)
}

#[derive(Debug)]
enum Failed {
    Asked,
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What a nested function has changed goes when it fails, and stays when it does not; beside others who do the same.
pub(super) fn half_undone() {
    let place = Place::any();
    let jobs = [("a", "b"), ("b", "a"), ("b", "c")].map(|(one, other)| {
        let user = place.user();
        Box::new(move || {
            let _entered = user.0.enter();
            user.0
                .transaction(|tx| {
                    add(one, 1)?;
                    if let Err(Failed::Other(error)) = add_and_fail(one, other) {
                        return Err(error);
                    }
                    let count = tx.get::<Counter>(other)?.count;
                    assert!(count < 100, "{count} was undone");
                    add(other, 1)
                })
                .expect("commits");
        }) as Job<()>
    });
    together(jobs);
    let counts = place.read(|tx| {
        let count = |key| tx.get::<Counter>(key).map(|counter| counter.count);
        Ok([count("a")?, count("b")?, count("c")?])
    });
    assert_eq!(counts, [2, 3, 1]);
}

/// What is rolled back was never there: neither for others nor for who runs again.
pub(super) fn trace_of_a_rollback() {
    let place = Place::any();
    place.run(|tx| tx.insert("it", Counter { count: 1 }));
    let mut jobs = Vec::<Job<()>>::new();
    let user = place.user();
    jobs.push(Box::new(move || {
        let failed = user.transaction(|tx| {
            tx.get_mut::<Counter>("it")?.count = 100;
            tx.insert("other", Counter { count: 100 })?;
            let error = tx.get::<Counter>("it").err();
            assert!(error.is_none(), "{error:?}");
            tx.get::<Missing>("missing").map(drop)
        });
        assert!(failed.is_err_and(|error| error.is_not_found()));
    }));
    for _ in 0..2 {
        let user = place.user();
        jobs.push(Box::new(move || {
            user.run(|tx| {
                let mut it = tx.get_mut::<Counter>("it")?;
                assert!(it.count < 10, "{} was never committed", it.count);
                it.count += 1;
                Ok(())
            });
        }));
    }
    let user = place.user();
    let times = 1 + below(2);
    jobs.push(Box::new(move || {
        for _ in 0..times {
            let count = user.read(|tx| Ok(tx.get::<Counter>("it")?.count + tx.get::<Counter>("other")?.count));
            assert!((1..=3).contains(&count), "{count} was never committed");
        }
    }));
    together(jobs);
    assert_eq!(place.read(|tx| tx.get::<Counter>("it").map(|it| it.count)), 3);
}

#[persistent]
struct Missing {
    field: u64,
}
