//! Changes that could undo each other.

use metaparticle::{Mut, Result, Tx, persistent, transactional};

use super::{Job, together};
use crate::explorer::place::{Place, User, below};

#[persistent(default)]
struct Counter {
    count: u64,
}

#[transactional]
fn add_one(counter: &mut Counter) -> Result<u64> {
    counter.count += 1;
    Ok(counter.count)
}

/// Adds one, in one of the ways that there are; what it is then.
fn count(user: &User, key: &'static str) -> u64 {
    match below(3) {
        0 => user.0.run(|| add_one(key)).expect("commits"),
        1 => user.run(|tx| {
            let mut counter = tx.get_mut::<Counter>(key)?;
            counter.count += 1;
            Ok(counter.count)
        }),
        _ => user.run(|tx| {
            let count = tx.get::<Counter>(key)?.count + 1;
            tx.insert(key, Counter { count })?;
            Ok(count)
        }),
    }
}

/// Everybody's increments are counted, and each sees another number.
pub(super) fn lost_update() {
    let place = Place::any();
    let threads = 2 + below(2);
    let jobs = (0..threads).map(|_| {
        let user = place.user();
        Box::new(move || [count(&user, "it"), count(&user, "it")]) as Job<[u64; 2]>
    });
    let mut seen = together(jobs).concat();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(1..=2 * threads as u64), "increments gave {seen:?}");
    assert_eq!(place.read(|tx| Ok(tx.get::<Counter>("it")?.count)), 2 * threads as u64, "increments were lost");
}

#[persistent(default)]
struct Pair {
    left: u64,
    right: u64,
}

/// Adds one to a field, without reading the other.
fn add_to_field(tx: &Tx, is_left: bool) -> Result<()> {
    let mut pair: Mut<'_, Pair> = tx.get_mut::<Pair>("it")?;
    match is_left {
        true => *pair.left_mut() += 1,
        false => *pair.right_mut() += 1,
    }
    Ok(())
}

/// Changes of different fields are both kept.
pub(super) fn lost_field() {
    let place = Place::any();
    if below(2) == 0 {
        place.run(|tx| tx.insert("it", Pair { left: 0, right: 0 }));
    }
    let jobs = [true, false, true].map(|is_left| {
        let user = place.user();
        Box::new(move || user.run(|tx| add_to_field(tx, is_left))) as Job<()>
    });
    together(jobs);
    let pair = place.read(|tx| tx.get::<Pair>("it").map(|pair| (pair.left, pair.right)));
    assert_eq!(pair, (2, 1), "a field was lost");
}

#[persistent]
struct Doctor {
    is_on_call: bool,
}

/// Goes home, if the other one stays.
fn go_home(tx: &Tx, who: &'static str, other: &'static str) -> Result<()> {
    if tx.get::<Doctor>(other)?.is_on_call {
        tx.get_mut::<Doctor>(who)?.is_on_call = false;
    }
    Ok(())
}

/// Two who look at both, and each change one, do not both do so.
pub(super) fn write_skew() {
    let place = Place::any();
    place.run(|tx| ["ann", "ben"].into_iter().try_for_each(|who| tx.insert(who, Doctor { is_on_call: true })));
    let jobs = [("ann", "ben"), ("ben", "ann")].map(|(who, other)| {
        let user = place.user();
        Box::new(move || user.run(|tx| go_home(tx, who, other))) as Job<()>
    });
    together(jobs);
    let on_call = place.read(|tx| {
        let is_on_call = |who| Ok(usize::from(tx.get::<Doctor>(who)?.is_on_call));
        Ok(is_on_call("ann")? + is_on_call("ben")?)
    });
    assert_eq!(on_call, 1, "doctors are on call");
}
