//! Strictly serializable, and no attempt sees a mixture.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metaparticle::{Ref, Result, Tx, persistent, transactional};
use metaparticle_tests::{TestStore, on_every_engine, on_threads};

use crate::{Account, Counter, Page, count, increment, transfer};

on_every_engine! {
    no_increment_is_lost
    fifty_concurrent_increments_count_to_fifty
    money_is_neither_made_nor_lost
    no_attempt_sees_a_mixture
    no_attempt_sees_what_came_later_without_what_came_before
    two_doctors_cannot_both_leave
    two_bookings_cannot_both_find_the_room_free
    two_counts_cannot_both_miss_the_other
    an_object_that_comes_or_goes_beside_a_changed_one_is_noticed_by_who_has_counted
    a_transaction_sees_those_that_returned_before_it
    a_read_only_transaction_returns
    a_scan_sees_one_instant
    a_scan_gives_no_set_of_keys_that_never_was
    what_the_body_removes_on_the_way_through_a_range_is_left_out
}

/// So often something is changed at most while somebody else is to see it.
const MOST: u64 = 20_000;

fn no_increment_is_lost(engine: &str) {
    let store = TestStore::new(engine);
    on_threads(8, |_| {
        let _entered = store.enter();
        for _ in 0..100 {
            increment("n").expect("increments");
        }
    });
    assert_eq!(store.run(|| count("n")).expect("counts"), 800);
}

fn fifty_concurrent_increments_count_to_fifty(engine: &str) {
    let store = TestStore::new(engine);
    on_threads(50, |_| assert!(store.run(|| increment("n")).is_ok()));
    assert_eq!(store.run(|| count("n")).expect("counts"), 50);
}

fn money_is_neither_made_nor_lost(engine: &str) {
    let store = TestStore::new(engine);
    let _entered = store.enter();
    const ACCOUNTS: usize = 10;
    store
        .transaction(|tx| (0..ACCOUNTS).try_for_each(|n| tx.insert(n.to_string(), Account { balance: 100 })))
        .expect("opens accounts");
    on_threads(4, |seed| {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let _entered = store.enter();
        for _ in 0..200 {
            let (from, to) = (random.usize(..ACCOUNTS), random.usize(..ACCOUNTS));
            if from != to {
                transfer(from.to_string(), to.to_string(), random.i64(0..50)).expect("transfers");
            }
        }
    });
    let total =
        store.transaction(|tx| tx.range::<Account>(..).try_fold(0, |sum, entry| metaparticle::Ok(sum + entry?.1.balance)));
    assert_eq!(total.expect("sums up"), 100 * ACCOUNTS as i64);
}

/// Two objects that are always equal, and a third one in between that makes attempts fail.
fn no_attempt_sees_a_mixture(engine: &str) {
    let store = TestStore::new(engine);
    let (done, mixtures, seen) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let set_both = |n| {
        store.transaction(|tx| {
            tx.insert("a", Counter { n })?;
            tx.insert("z", Counter { n })
        })
    };
    set_both(0).expect("sets");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // For so long at least, and until something was read, however late the reader comes to run.
            for n in (1..).take_while(|n| *n < 400 || seen.load(Ordering::SeqCst) == 0) {
                set_both(n).expect("sets");
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let _entered = store.enter();
            while !done.load(Ordering::SeqCst) {
                increment("m").expect("increments");
            }
        });
        while !done.load(Ordering::SeqCst) {
            // Loaded one after the other, so that commits come in between; counted in the body, also in attempts that fail.
            let read = store.transaction(|tx| {
                let a = tx.get::<Counter>("a")?.n;
                let mut m = tx.get_mut::<Counter>("m")?;
                m.n += 1;
                let z = tx.get::<Counter>("z")?.n;
                seen.fetch_add(1, Ordering::SeqCst);
                if a != z {
                    mixtures.fetch_add(1, Ordering::SeqCst);
                }
                metaparticle::Ok(())
            });
            read.expect("reads");
        }
    });
    assert!(seen.load(Ordering::SeqCst) > 0, "nothing was read");
    assert_eq!(mixtures.load(Ordering::SeqCst), 0, "of {} attempts", seen.load(Ordering::SeqCst));
}

#[persistent]
struct Doctor {
    on_call: bool,
}

/// Leaves if the other one stays: write skew, if reads were not validated.
#[transactional]
fn leave(me: &mut Doctor, other: Ref<Doctor>) -> Result<()> {
    if other.on_call {
        me.on_call = false;
    }
    Ok(())
}

fn two_doctors_cannot_both_leave(engine: &str) {
    let store = TestStore::new(engine);
    for _ in 0..100 {
        store
            .transaction(|tx| {
                tx.insert("ann", Doctor { on_call: true })?;
                tx.insert("ben", Doctor { on_call: true })
            })
            .expect("both are on call");
        on_threads(2, |n| {
            let (me, other) = if n == 0 { ("ann", "ben") } else { ("ben", "ann") };
            store.run(|| leave(me, other)).expect("leaves");
        });
        let on_call = store.transaction(|tx| {
            metaparticle::Ok(
                tx.range::<Doctor>(..).filter(|entry| entry.as_ref().is_ok_and(|(_, doctor)| doctor.on_call)).count(),
            )
        });
        assert_eq!(on_call.expect("counts"), 1);
    }
}

#[persistent(key = (u64, String))]
struct Booking {
    by: String,
}

/// Books a room if nobody has: a phantom, if ranges were not validated.
#[transactional]
fn book(tx: &Tx, room: u64, guest: &str) -> Result<bool> {
    let free = tx.keys::<Booking>((room, "")..(room + 1, "")).next().transpose()?.is_none();
    if free {
        tx.insert((room, guest), Booking { by: guest.to_owned() })?;
    }
    Ok(free)
}

fn two_bookings_cannot_both_find_the_room_free(engine: &str) {
    let store = TestStore::new(engine);
    for room in 0..100 {
        let booked = AtomicU64::new(0);
        on_threads(2, |guest| {
            if store.run(|| book(room, ["ann", "ben"][guest])).expect("books") {
                booked.fetch_add(1, Ordering::SeqCst);
            }
        });
        assert_eq!(booked.load(Ordering::SeqCst), 1, "room {room}");
    }
}

/// Each writes how many there were; in a serial order, one of them counts the other.
fn two_counts_cannot_both_miss_the_other(engine: &str) {
    let store = TestStore::new(engine);
    for round in 0..100 {
        let name = |who: usize| format!("{round:03}-{who}");
        on_threads(2, |who| {
            let add = store.transaction(|tx| {
                let n = tx.range::<Counter>(format!("{round:03}")..format!("{:03}", round + 1)).count() as u64;
                tx.insert(name(who), Counter { n: n + 1 })
            });
            add.expect("adds");
        });
        let counted = [0, 1].map(|who| store.run(|| count(name(who))).expect("counts"));
        assert!(counted == [1, 2] || counted == [2, 1], "{counted:?}");
    }
}

fn a_transaction_sees_those_that_returned_before_it(engine: &str) {
    let store = TestStore::new(engine);
    let (returned, compared, writing) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(true));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in (0..MOST).take_while(|n| *n < 300 || compared.load(Ordering::SeqCst) == 0) {
                returned.store(store.run(|| increment("n")).expect("increments"), Ordering::SeqCst);
            }
            writing.store(false, Ordering::SeqCst);
        });
        while writing.load(Ordering::SeqCst) {
            let before = returned.load(Ordering::SeqCst);
            assert!(store.run(|| count("n")).expect("counts") >= before, "a commit that had returned was not seen");
            compared.fetch_add(u64::from(before > 0), Ordering::SeqCst);
        }
    });
    assert!(compared.into_inner() > 0, "nothing was compared");
}

fn a_read_only_transaction_returns(engine: &str) {
    let store = TestStore::new(engine);
    assert_eq!(store.run(|| count("n")).expect("counts"), 0);
    assert_eq!(store.stats().commits, 0);
}

fn a_scan_sees_one_instant(engine: &str) {
    let store = TestStore::new(engine);
    const KEYS: u64 = 600;
    let set_all = |n| store.transaction(|tx| (0..3).try_for_each(|i| tx.insert(format!("{:03}", i * 299), Counter { n })));
    // More than two pages of objects that stay, and three in different pages that change together.
    for start in (0..KEYS).step_by(100) {
        let part = start..start + 100;
        let fill = |tx: &Tx| part.clone().try_for_each(|i| tx.insert(format!("{i:03}"), Counter { n: 0 }));
        store.transaction(fill).expect("fills");
    }
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (1..MOST).take_while(|n| *n < 100 || seen.load(Ordering::SeqCst) == 0) {
                set_all(n).expect("sets");
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let found = store.transaction(|tx| {
                let all: Result<Vec<_>> =
                    tx.range::<Counter>(..).map(|entry| entry.map(|(key, counter)| (key, counter.n))).collect();
                let all = all?;
                // In the body, so that attempts that are rolled back are looked at too.
                assert_eq!(all.len() as u64, KEYS);
                assert!(all.is_sorted_by(|one, other| one.0 < other.0));
                let changing: Vec<u64> = all.iter().step_by(299).map(|(_, n)| *n).take(3).collect();
                assert!(changing.iter().all(|n| *n == changing[0]), "a mixture: {changing:?}");
                seen.fetch_add(u64::from(changing[0] > 0), Ordering::SeqCst);
                metaparticle::Ok(())
            });
            found.expect("scans");
        }
    });
    assert!(seen.into_inner() > 0, "nothing was seen while it changed");
}

/// While it reads its second page, a key comes into the first one, and one goes from the second.
fn a_scan_gives_no_set_of_keys_that_never_was(engine: &str) {
    let store = TestStore::new(engine);
    store.transaction(|tx| (0..300).try_for_each(|n| tx.insert(format!("{n:03}"), Counter { n }))).expect("inserts");
    let change = || {
        store.transaction(|tx| {
            tx.insert("000-new", Counter { n: 0 })?;
            tx.remove::<Counter>("299").map(drop)
        })
    };
    let attempts = store.transaction(|tx| {
        let mut keys = tx.keys::<Counter>(..);
        let mut found: Vec<String> = keys.next().into_iter().collect::<Result<_>>()?;
        if tx.attempt() == 1 {
            std::thread::scope(|scope| scope.spawn(change).join().expect("no panic"))?;
        }
        for key in keys {
            found.push(key?);
        }
        // In the body, so that attempts that are rolled back are looked at too.
        let has = |key: &str| found.iter().any(|found| found == key);
        assert!(found.len() == 300 && has("000-new") != has("299"), "{} keys", found.len());
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("scans"), 2, "a change went unnoticed");
}

/// Counts objects, and how many attempts that took while, in the first one, `also` was done together with a change of another object.
fn counted_while_changed(store: &TestStore, also: impl Fn(&Tx) -> Result<()> + Sync) -> (u32, usize) {
    let change = || {
        store.transaction(|tx| {
            tx.get_mut::<Counter>("m")?.n += 1;
            also(tx)
        })
    };
    let counted = store.transaction(|tx| {
        let counted = tx.range::<Counter>(..).count();
        if tx.attempt() == 1 {
            std::thread::scope(|scope| scope.spawn(change).join().expect("no panic"))?;
        }
        tx.insert("counted", Account { balance: counted as i64 })?;
        metaparticle::Ok((tx.attempt(), counted))
    });
    counted.expect("counts")
}

/// In key order before the changed one, and behind it.
fn an_object_that_comes_or_goes_beside_a_changed_one_is_noticed_by_who_has_counted(engine: &str) {
    let store = TestStore::new(engine);
    store.run(|| increment("m")).expect("increments");
    for (key, there) in [("b", 2), ("y", 3)] {
        let found = counted_while_changed(&store, |tx| tx.insert(key, Counter { n: 0 }));
        assert_eq!(found, (2, there), "it was not noticed that {key} has come");
    }
    for (key, there) in [("b", 2), ("y", 1)] {
        let found = counted_while_changed(&store, |tx| tx.remove::<Counter>(key).map(drop));
        assert_eq!(found, (2, there), "it was not noticed that {key} has gone");
    }
}

/// The later one is an object that others change all the time, so that its changes may be committed together with theirs.
fn no_attempt_sees_what_came_later_without_what_came_before(engine: &str) {
    let store = TestStore::new(engine);
    let (done, seen, mixtures) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let change = |body: &dyn Fn(&mut Page)| {
        store.transaction(|tx| {
            body(&mut *tx.get_mut::<Page>("later")?);
            metaparticle::Ok(())
        })
    };
    store.transaction(|tx| tx.insert("later", Page { visits: 0, title: String::new(), tags: Vec::new() })).expect("inserts");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (1..).take_while(|n| *n < 200 || seen.load(Ordering::SeqCst) == 0) {
                store.run(|| increment("before")).expect("increments");
                change(&|page| page.visits = n).expect("changes");
            }
            done.store(true, Ordering::SeqCst);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    change(&|page| page.title = if page.title.is_empty() { "x".to_owned() } else { String::new() })
                        .expect("changes");
                }
            });
        }
        while !done.load(Ordering::SeqCst) {
            let read = store.transaction(|tx| {
                // In the body, so that attempts that are rolled back are looked at too.
                let before = tx.get::<Counter>("before").map_or(0, |counter| counter.n);
                let later = tx.get::<Page>("later")?.visits;
                seen.fetch_add(1, Ordering::SeqCst);
                mixtures.fetch_add(u64::from(later > before), Ordering::SeqCst);
                metaparticle::Ok(())
            });
            read.expect("reads");
        }
    });
    assert_eq!(mixtures.into_inner(), 0, "of {} attempts", seen.into_inner());
}

/// Whether it was read already, with its page, or not.
fn what_the_body_removes_on_the_way_through_a_range_is_left_out(engine: &str) {
    let store = TestStore::new(engine);
    let fill = |tx: &Tx| (0..300).try_for_each(|n| tx.insert(format!("{n:03}"), Counter { n }));
    store.transaction(fill).expect("inserts");
    let met = store.transaction(|tx| {
        let (mut met, mut keys) = (Vec::new(), Vec::new());
        for entry in tx.range::<Counter>(..) {
            let (_, counter) = entry?;
            met.push(counter.n);
            if counter.n == 1 {
                for gone in ["002", "200", "280"] {
                    tx.remove::<Counter>(gone)?;
                }
            }
        }
        for key in tx.keys::<Counter>(..) {
            let key = key?;
            if key == "001" {
                tx.remove::<Counter>("003")?;
            }
            keys.push(key);
        }
        metaparticle::Ok((met, keys))
    });
    let (met, keys) = met.expect("commits");
    let left: Vec<u64> = (0..300).filter(|n| ![2, 200, 280].contains(n)).collect();
    assert_eq!(met, left);
    assert_eq!(keys.len(), left.len() - 1);
}
