//! Checks of clients that work at once.

use std::thread;

use super::{Client, number, put, record_key, seen, seen_page, version};
use crate::engine::{Engine, Record, Seen};

const THREADS: u64 = 4;
const ROUNDS: u64 = 200;
/// No check goes on for longer than this many attempts.
const ATTEMPTS: u64 = 1_000_000;

/// Tries until `commit` says that it was not refused.
fn until_committed(mut commit: impl FnMut() -> bool) {
    assert!((0..ATTEMPTS).any(|_| commit()), "a commit was refused {ATTEMPTS} times");
}

pub(super) fn no_increment_is_lost(engine: &dyn Engine) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let client = Client(engine);
                for _ in 0..ROUNDS {
                    until_committed(|| {
                        let record = client.read(b"counter");
                        let next = (number(&record) + 1).to_le_bytes();
                        let compare = seen(&[(b"counter", version(&record))]);
                        client.execute(&compare, &[], &[put(b"counter", &next)]).differs.is_empty()
                    });
                }
            });
        }
    });
    assert_eq!(number(&Client(engine).read(b"counter")), THREADS * ROUNDS);
}

/// Sets `keys` to the same number, again and again, while `check` looks on.
fn while_keys_change_together(engine: &dyn Engine, keys: &[&[u8]], check: impl Fn(&Client<'_>) + Sync) {
    let client = Client(engine);
    let write_all = |n: u64| {
        let writes: Vec<_> = keys.iter().map(|key| put(key, &n.to_le_bytes())).collect();
        client.execute(Seen::NOTHING, &[], &writes);
    };
    write_all(0);
    thread::scope(|scope| {
        let reader = scope.spawn(|| (0..ROUNDS).for_each(|_| check(&Client(engine))));
        let mut n = 1;
        while !reader.is_finished() {
            write_all(n);
            n += 1;
        }
        assert!(reader.join().is_ok(), "a mixture was read");
    });
}

fn assert_equal(records: &[Option<Record>]) {
    assert!(records.windows(2).all(|pair| number(&pair[0]) == number(&pair[1])), "a mixture of old and new was read");
}

pub(super) fn reads_of_several_keys_are_of_one_instant(engine: &dyn Engine) {
    while_keys_change_together(engine, &[b"a", b"m", b"z"], |client| {
        let keys = [b"a", b"m", b"z"].map(|key| record_key(key));
        assert_equal(&client.execute(Seen::NOTHING, &keys, &[]).read);
    });
}

pub(super) fn scans_are_of_one_instant(engine: &dyn Engine) {
    while_keys_change_together(engine, &[b"a", b"m", b"z"], |client| {
        let page = client.scan(Seen::NOTHING, b"a", b"zz", 10);
        assert_eq!(page.records.len(), 3);
        let records: Vec<_> = page.records.into_iter().map(|(_, record)| Some(record)).collect();
        assert_equal(&records);
    });
}

/// Both read both keys and write one; only one of them may be let in.
pub(super) fn write_skew_is_refused(engine: &dyn Engine) {
    let client = Client(engine);
    for round in 0..ROUNDS {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let both = [a.as_bytes(), b.as_bytes()];
        let versions = both.map(|key| client.write(key, b"on call"));
        let compare = seen(&[(both[0], Some(versions[0])), (both[1], Some(versions[1]))]);
        let leave = |key| Client(engine).execute(&compare, &[], &[put(key, b"home")]).differs.is_empty();
        let let_in = thread::scope(|scope| {
            let one = scope.spawn(|| leave(both[0]));
            let other = leave(both[1]);
            [one.join().unwrap_or(true), other]
        });
        assert_ne!(let_in, [true, true], "both have left");
        assert_ne!(let_in, [false, false], "one of them had nothing to conflict with");
    }
}

/// Both find a range empty and put something into it; only one of them may be let in.
pub(super) fn phantoms_are_refused(engine: &dyn Engine) {
    let client = Client(engine);
    for round in 0..ROUNDS {
        let (start, end) = (format!("r{round:05}a"), format!("r{round:05}b"));
        let page = client.scan(Seen::NOTHING, start.as_bytes(), end.as_bytes(), 10);
        let compare = seen_page(&page);
        let book = |who: &str| {
            let key = format!("{start}{who}");
            Client(engine).execute(&compare, &[], &[put(key.as_bytes(), b"booked")]).differs.is_empty()
        };
        let let_in = thread::scope(|scope| {
            let one = scope.spawn(|| book("x"));
            let other = book("y");
            [one.join().unwrap_or(true), other]
        });
        assert_ne!(let_in, [true, true], "both have booked");
        assert_ne!(let_in, [false, false], "one of them had nothing to conflict with");
    }
}
