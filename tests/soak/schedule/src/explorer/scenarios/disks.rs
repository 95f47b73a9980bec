//! What is on disk, at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metaparticle::schedule::Disk;
use metaparticle::{Durability, Result, TransactionOptions, Tx, persistent};
use shuttle::thread;

use super::{Job, together};
use crate::explorer::place::{Place, User, below, disk};

#[persistent(default)]
struct Counter {
    count: u64,
}

/// Counts in two objects at once; what they are then.
fn count(tx: &Tx) -> Result<u64> {
    let mut count = 0;
    for key in ["a", "b"] {
        let mut counter = tx.get_mut::<Counter>(key)?;
        counter.count += 1;
        count = counter.count;
    }
    Ok(count)
}

/// What they are, together.
fn counts(tx: &Tx) -> Result<u64> {
    let counts = [tx.get::<Counter>("a")?.count, tx.get::<Counter>("b")?.count];
    assert_eq!(counts[0], counts[1], "half of a commit is there");
    Ok(counts[0])
}

/// What is found after a power cut at this moment; and that the store works.
fn after_power_cut(disk: &Disk, lucky: bool) -> u64 {
    let place = Place::on_disk(&disk.after_power_cut(lucky));
    let found = place.read(counts);
    assert_eq!(place.run(count), found + 1);
    found
}

/// What was returned survives a power cut right after: what was written as well as what was read. So does what an effect tells.
pub(super) fn early_acknowledgement() {
    let disk = disk();
    let place = Place::on_disk(&disk);
    let mut jobs = Vec::<Job<()>>::new();
    for writes in [true, true, false] {
        let (user, disk) = (place.user(), disk.clone());
        jobs.push(Box::new(move || {
            let told = Arc::new(AtomicU64::new(0));
            let returned = match writes {
                true => user.run(|tx| {
                    let (count, told) = (count(tx)?, told.clone());
                    tx.after_commit(move || {
                        told.fetch_add(count, Ordering::Relaxed);
                    });
                    Ok(count)
                }),
                false => user.read(counts),
            };
            let found = after_power_cut(&disk, false);
            assert!(found >= returned, "{returned} was returned, and {found} is there after a power cut");
            let told = told.load(Ordering::Relaxed);
            assert_eq!(told, if writes { returned } else { 0 }, "an effect was not called once");
        }));
    }
    together(jobs);
}

/// After a power cut at any moment, the store is what it was after some commit, and has all that were acknowledged.
pub(super) fn lost_commit() {
    let disk = disk();
    let place = Place::on_disk(&disk);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut jobs = Vec::<Job<()>>::new();
    for _ in 0..2 {
        let (user, acknowledged) = (place.user(), acknowledged.clone());
        jobs.push(Box::new(move || {
            for _ in 0..3 {
                acknowledged.fetch_max(user.run(count), Ordering::Relaxed);
            }
        }));
    }
    let (cut, steps) = (disk.clone(), below(200));
    jobs.push(Box::new(move || {
        (0..steps).for_each(|_| thread::yield_now());
        let least = acknowledged.load(Ordering::Relaxed);
        let found = after_power_cut(&cut, below(2) == 0);
        assert!((least..=6).contains(&found), "{least} was acknowledged, and {found} is there after a power cut");
    }));
    together(jobs);
    drop(place);
    assert_eq!(after_power_cut(&disk, false), 6, "the store was closed");
}

/// When the disk fails, everybody hears of it, and what was acknowledged before is there.
pub(super) fn broken_disk() {
    let disk = disk();
    let place = Place::on_disk(&disk);
    disk.fail_after(below(3));
    // One may wait for what never comes true.
    let jobs = [false, false, below(2) == 0].map(|waits| {
        let user = place.user();
        Box::new(move || {
            let mut acknowledged = 0;
            loop {
                match user.transaction(|tx| tx.wait_until(!waits || counts(tx)? > 100).and_then(|()| count(tx))) {
                    Ok(count) => acknowledged = count,
                    Err(error) => {
                        assert!(error.to_string().contains("the disk is broken"), "{error}");
                        return acknowledged;
                    }
                }
            }
        }) as Job<u64>
    });
    let (user, watches) = (place.user(), below(2) == 0);
    let watch = Box::new(move || {
        // It goes on until there is an error, and does not wait for ever then.
        if watches {
            let error = user.0.watch::<Counter>("a").find_map(|change| change.err()).expect("the disk is broken");
            assert!(error.to_string().contains("the disk is broken"), "{error}");
        }
        0_u64
    }) as Job<u64>;
    let acknowledged = together(jobs.into_iter().chain([watch])).into_iter().max().unwrap_or(0);
    let error = place.transaction(counts).expect_err("the disk is broken");
    assert!(error.to_string().contains("the disk is broken"), "{error}");
    drop(place);
    let found = after_power_cut(&disk, false);
    assert!(found >= acknowledged, "{acknowledged} was acknowledged, and {found} is there");
}

#[persistent(key = u64)]
struct Entry {
    bytes: Vec<u8>,
}

fn put(user: &User, key: u64, durability: Durability) {
    let options = TransactionOptions::new().durability(durability);
    user.transaction_with(options, |tx| tx.insert(key, Entry { bytes: vec![7; 100] })).expect("commits");
}

/// Committers that run ahead of the disk wait for it, and it does not wait for them.
pub(super) fn full_queue() {
    let place = Place::on_disk(&disk());
    let jobs = (0..3).map(|thread| {
        let user = place.user();
        let durability = if below(3) == 0 { Durability::Immediate } else { Durability::Eventual };
        Box::new(move || (0..4).for_each(|key| put(&user, 10 * thread + key, durability))) as Job<()>
    });
    together(jobs);
    let count = place.read(|tx| tx.keys::<Entry>(..).try_fold(0, |count, key| key.map(|_| count + 1)));
    assert_eq!(count, 12);
}
