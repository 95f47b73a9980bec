//! What is read while others change it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metaparticle::{Result, Tx, persistent};

use super::{Job, together};
use crate::explorer::place::{Place, below};

#[persistent]
struct Account {
    balance: i64,
}

const TOTAL: i64 = 10;

fn open_accounts(place: &Place) {
    place.run(|tx| {
        tx.insert("a", Account { balance: TOTAL })?;
        ["b", "c"].into_iter().try_for_each(|key| tx.insert(key, Account { balance: 0 }))
    });
}

fn transfer(tx: &Tx, from: &'static str, to: &'static str, amount: i64) -> Result<()> {
    tx.get_mut::<Account>(from)?.balance -= amount;
    tx.get_mut::<Account>(to)?.balance += amount;
    Ok(())
}

/// All that there is, in one of the ways to read it. Whoever finds another total has met what never was.
fn total(tx: &Tx, way: usize) -> Result<i64> {
    let mut total = 0;
    match way {
        0 => {
            for key in ["a", "b", "c"] {
                total += tx.get::<Account>(key)?.balance;
            }
        }
        1 => {
            for entry in tx.range::<Account>(..) {
                total += entry?.1.balance;
            }
        }
        _ => {
            total += tx.get::<Account>("c")?.balance;
            for entry in tx.range::<Account>(.."c") {
                total += entry?.1.balance;
            }
        }
    }
    assert_eq!(total, TOTAL, "a body has read a mixture");
    Ok(total)
}

/// No body meets a state in which something is under way, also none that is rolled back.
pub(super) fn torn_read() {
    let place = Place::any();
    open_accounts(&place);
    let mut jobs = Vec::<Job<()>>::new();
    for (from, to) in [("a", "b"), ("b", "c")] {
        let user = place.user();
        jobs.push(Box::new(move || {
            user.run(|tx| transfer(tx, from, to, 3));
        }));
    }
    let (user, way) = (place.user(), below(3));
    jobs.push(Box::new(move || {
        // One that writes, too, so that its attempts are validated and rolled back.
        if below(2) == 0 {
            user.read(|tx| total(tx, way));
        } else {
            user.run(|tx| total(tx, way).and_then(|_| transfer(tx, "c", "a", 1)));
        }
    }));
    together(jobs);
    place.read(|tx| total(tx, 0));
}

#[persistent(default)]
struct Counter {
    count: u64,
}

/// A transaction that begins after another has returned sees it.
pub(super) fn stale_read() {
    let place = Place::any();
    // Not shuttle's: looking at it is no step.
    let returned = Arc::new(AtomicU64::new(0));
    let mut jobs = Vec::<Job<()>>::new();
    for _ in 0..1 + below(2) {
        let (user, returned) = (place.user(), returned.clone());
        jobs.push(Box::new(move || {
            for _ in 0..2 {
                let count = user.run(|tx| {
                    let mut counter = tx.get_mut::<Counter>("it")?;
                    counter.count += 1;
                    Ok(counter.count)
                });
                returned.fetch_max(count, Ordering::Relaxed);
            }
        }));
    }
    let user = place.user();
    jobs.push(Box::new(move || {
        for _ in 0..3 {
            let least = returned.load(Ordering::Relaxed);
            let count = user.read(|tx| tx.get::<Counter>("it").map(|counter| counter.count));
            assert!(count >= least, "{count} was read after {least} was returned");
            returned.fetch_max(count, Ordering::Relaxed);
        }
    }));
    together(jobs);
}

/// Two who read two objects, each written by another, agree on who was first.
pub(super) fn broken_snapshot() {
    let place = Place::any();
    let mut jobs = Vec::<Job<Option<(u64, u64)>>>::new();
    for key in ["a", "b"] {
        let user = place.user();
        jobs.push(Box::new(move || {
            user.run(|tx| tx.insert(key, Counter { count: 1 }));
            None
        }));
    }
    for (first, second) in [("a", "b"), ("b", "a")] {
        let user = place.user();
        jobs.push(Box::new(move || {
            let read = user.read(|tx| Ok((tx.get::<Counter>(first)?.count, tx.get::<Counter>(second)?.count)));
            Some(if first == "a" { read } else { (read.1, read.0) })
        }));
    }
    let read: Vec<_> = together(jobs).into_iter().flatten().collect();
    assert!(!(read.contains(&(1, 0)) && read.contains(&(0, 1))), "each was the first");
}
