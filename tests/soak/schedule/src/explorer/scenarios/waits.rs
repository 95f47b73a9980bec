//! Those who wait for what others do. Whoever is not woken waits for ever: in these executions, no deadline helps.

use metaparticle::{Result, Tx, Watch, persistent};

use super::{Job, together};
use crate::explorer::network::Network;
use crate::explorer::place::{Place, User, below};

#[persistent(default)]
struct Queue {
    jobs: Vec<u64>,
}

#[persistent(default)]
struct Counter {
    count: u64,
}

/// Adds one, so many times; what it was each time.
fn count(user: &User, key: &'static str, times: usize) -> Vec<u64> {
    let add = |tx: &Tx| {
        let mut counter = tx.get_mut::<Counter>(key)?;
        counter.count += 1;
        Ok(counter.count)
    };
    (0..times).map(|_| user.run(add)).collect()
}

/// Who waits for a condition is woken when it has come true, and each job is taken once.
pub(super) fn lost_wake_up() {
    let place = Place::any();
    let mut jobs = Vec::<Job<u64>>::new();
    for _ in 0..2 {
        let user = place.user();
        jobs.push(Box::new(move || {
            user.run(|tx| {
                let mut queue = tx.get_mut::<Queue>("it")?;
                tx.wait_until(!queue.jobs.is_empty())?;
                Ok(queue.jobs.remove(0))
            })
        }));
    }
    let (user, at_once) = (place.user(), below(2) == 0);
    jobs.push(Box::new(move || {
        let add = |added: &[u64]| {
            user.run(|tx| {
                tx.get_mut::<Queue>("it")?.jobs.extend(added);
                Ok(())
            });
        };
        match at_once {
            true => add(&[1, 2]),
            false => [1, 2].iter().for_each(|job| add(&[*job])),
        }
        0
    }));
    let mut taken = together(jobs);
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2]);
}

/// Goes on until it is told the state that is the last.
fn watch(mut watch: Watch<Counter>, last: u64) {
    let mut seen = 0;
    while seen < last {
        let change = watch.next().expect("it goes on").expect("is read");
        let count = change.object.map_or(0, |counter| counter.count);
        assert!(count >= seen, "{count} was told after {seen}");
        seen = count;
    }
}

/// Who watches an object is told its last state.
pub(super) fn lost_hint() {
    let place = Place::any();
    let mut jobs = Vec::<Job<()>>::new();
    let (user, watches_all) = (place.user(), below(2) == 0);
    jobs.push(Box::new(move || match watches_all {
        true => watch(user.0.watch_all::<Counter>(), 3),
        false => watch(user.0.watch::<Counter>("it"), 3),
    }));
    for times in [1, 2] {
        let user = place.user();
        jobs.push(Box::new(move || drop(count(&user, "it", times))));
    }
    together(jobs);
}

/// Everybody gets a turn on objects that all want, whichever they ask for first.
pub(super) fn lost_turn() {
    let place = Place::embedded();
    let both = |tx: &Tx, first: &'static str, second: &'static str| -> Result<()> {
        tx.get_mut::<Counter>(first)?.count += 1;
        tx.get_mut::<Counter>(second)?.count += 1;
        Ok(())
    };
    let mut jobs = Vec::<Job<()>>::new();
    for (first, second) in [("a", "b"), ("b", "a"), ("a", "b")] {
        let user = place.user();
        jobs.push(Box::new(move || user.run(|tx| both(tx, first, second))));
    }
    let user = place.user();
    jobs.push(Box::new(move || drop(count(&user, "b", 2))));
    together(jobs);
    let counts = place.read(|tx| Ok((tx.get::<Counter>("a")?.count, tx.get::<Counter>("b")?.count)));
    assert_eq!(counts, (3, 5));
}

/// The last of many who want one object gets its turn, although nobody comes after it who could pass it on.
pub(super) fn lost_last_turn() {
    let place = Place::embedded();
    let jobs = (0..4).map(|_| {
        let user = place.user();
        Box::new(move || drop(count(&user, "it", 3))) as Job<()>
    });
    together(jobs);
    assert_eq!(place.read(|tx| tx.get::<Counter>("it").map(|it| it.count)), 12);
}

/// Those who are committed together, on an engine that answers later, hear of it, also if another process was faster.
pub(super) fn lost_group() {
    let network = Network::new();
    let processes = [Place::on_network(&network), Place::on_network(&network)];
    let mut jobs = Vec::<Job<Vec<u64>>>::new();
    for (process, times) in [(0, 2), (0, 1), (0, 1), (1, 1)] {
        let user = processes[process].user();
        jobs.push(Box::new(move || count(&user, "it", times)));
    }
    let user = processes[0].user();
    jobs.push(Box::new(move || {
        user.read(|tx| tx.get::<Counter>("it").map(|it| assert!(it.count <= 5)));
        Vec::new()
    }));
    let mut seen = together(jobs).concat();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(processes[1].read(|tx| tx.get::<Counter>("it").map(|it| it.count)), 5);
}

/// Who is in the habit of reading more than it needs this time goes on when others do.
pub(super) fn lost_guess() {
    let place = Place::on_network(&Network::new());
    let count = |user: &User, reads_more: bool| {
        let counted = shuttle::future::block_on(user.0.transaction_async(|tx| {
            let mut counter = tx.get_mut::<Counter>("it")?;
            counter.count += 1;
            if reads_more { tx.get::<Counter>("other").map(drop) } else { Ok(()) }
        }));
        counted.expect("commits");
    };
    count(&place, true);
    let jobs = (0..3).map(|_| {
        let user = place.user();
        Box::new(move || count(&user, false)) as Job<()>
    });
    together(jobs);
    assert_eq!(place.read(|tx| tx.get::<Counter>("it").map(|it| it.count)), 4);
}
