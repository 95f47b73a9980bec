//! Commits of etcd that read much, write much, or both.

use std::sync::atomic::{AtomicU64, Ordering};

use metaparticle::ErrorKind;
use metaparticle::conformance::engine_at;
use metaparticle::engine::{KeyRange, Seen, SeenRange, Write};
use metaparticle_tests::proxy::{Fault, Proxy};
use metaparticle_tests::servers::is_there;

use super::{execute, key, put, range, remove, scan, tell};
use crate::server;

/// More than can be compared one by one, and ranges; each kind of change to any of it is noticed.
#[test]
fn what_is_read_and_does_not_fit_is_compared_all_the_same() {
    if !is_there("etcd", "what_is_read_and_does_not_fit_is_compared_all_the_same") {
        return;
    }
    let engine = engine_at(&server("etcd").new_url()).expect("a store opens");
    let engine = &*engine;
    let name = |n: usize| key(format!("k{n:04}"));
    let all: Vec<Write> = (0..400).map(|n| put(name(2 * n), "old")).collect();
    assert!(execute(engine, Seen::NOTHING, &all).expect("it is written").differs.is_empty());
    let changes = ["a change", "a removal", "an insert between"];
    let change = |what: &str, n: usize| match what {
        "a change" => put(name(2 * n), "new"),
        "a removal" => remove(name(2 * n)),
        _ => put(name(2 * n + 1), "new"),
    };
    for (records, ranges) in [(400, 0), (10, 1), (400, 1), (400, 50), (0, 1), (0, 100)] {
        for what in changes {
            if (what == "an insert between" && ranges == 0) || (what == "a change" && records == 0) {
                continue;
            }
            let page = scan(engine, &range("k", "l"), 1000);
            let mut seen = Seen::default();
            let some = page.records.iter().take(records);
            seen.records.extend(some.map(|(key, record)| (key.clone(), Some(record.version))));
            if ranges == 1 {
                let keys = page.records.iter().map(|(key, _)| key.clone()).collect();
                seen.ranges.push(SeenRange { range: page.range.clone(), keys });
            }
            for n in 0..if ranges == 1 { 0 } else { ranges } {
                // Apart from each other, so that they cannot be taken together.
                let range = KeyRange { start: name(8 * n), end: name(8 * n + 3) };
                let keys = page.records.iter().map(|(key, _)| key.clone()).filter(|key| range.contains(key)).collect();
                seen.ranges.push(SeenRange { range, keys });
            }
            let outside = [put(key("outside"), format!("{records} {ranges} {what}"))];
            let reply = execute(engine, &seen, &outside).expect("it is settled");
            assert!(reply.differs.is_empty(), "{records} records, {ranges} ranges: nothing has changed yet");
            let changed = change(what, if records == 10 { 5 } else { fastrand::usize(0..25) * 4 });
            let before = page.records.iter().find(|(key, _)| *key == changed.key).map(|(_, record)| record.bytes.to_vec());
            execute(engine, Seen::NOTHING, std::slice::from_ref(&changed)).expect("it is written");
            let reply = execute(engine, &seen, &[put(key("outside"), "overwritten")]).expect("it is settled");
            let noticed = !reply.differs.is_empty();
            // A range is only its keys.
            let expected = records > 0 || before.is_some() != changed.bytes.is_some();
            let same = before.is_none() && changed.bytes.is_none();
            assert_eq!(noticed, expected && !same, "{what}, of {records} records and {ranges} ranges");
            let found = scan(engine, &range("outside", "p"), 1).records[0].1.bytes.to_vec();
            assert_eq!(found == b"overwritten", !noticed, "{what}: a difference must write nothing");
            let back = Write { key: changed.key, bytes: before.map(Into::into) };
            execute(engine, Seen::NOTHING, &[back]).expect("it is written");
        }
    }
}

/// Ends what other threads do, also when a check fails.
struct Stop<'a>(&'a AtomicU64);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Others write next to what was read all the time.
#[test]
fn commits_that_read_much_are_neither_lost_nor_starved() {
    if !is_there("etcd", "commits_that_read_much_are_neither_lost_nor_starved") {
        return;
    }
    let url = server("etcd").new_url();
    let engine = engine_at(&url).expect("a store opens");
    let engine = &*engine;
    let all: Vec<Write> = (0..200).map(|n| put(key(format!("k{n:03}")), "1")).collect();
    execute(engine, Seen::NOTHING, &all).expect("it is written");
    let left = AtomicU64::new(20);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (left, url) = (&left, &url);
            scope.spawn(move || {
                let engine = engine_at(url).expect("a store opens");
                while left.load(Ordering::Relaxed) > 0 {
                    let write = [put(key(format!("k{:03}+{thread}", fastrand::usize(..200))), "other")];
                    execute(&*engine, Seen::NOTHING, &write).expect("it is settled");
                }
            });
        }
        let _stop = Stop(&left);
        while left.load(Ordering::Relaxed) > 0 {
            let page = scan(engine, &range("k", "l"), 1000);
            let records = page.records.iter().filter(|(key, _)| !key.contains(&b'+'));
            let records = records.map(|(key, record)| (key.clone(), Some(record.version))).collect();
            let reply = execute(engine, &Seen { records, ..Seen::default() }, &[put(key("sum"), "200")]).expect("it is settled");
            assert!(reply.differs.is_empty(), "nothing that was read has changed");
            left.fetch_sub(1, Ordering::Relaxed);
        }
    });
}

/// Two are on call, and each leaves if the other is there. What they read is compared as a range, behind the gate, or both.
#[test]
fn removals_between_a_look_and_its_commit_are_noticed() {
    if !is_there("etcd", "removals_between_a_look_and_its_commit_are_noticed") {
        return;
    }
    const ROUNDS: usize = 40;
    for much in [[false, false], [true, true], [true, false]] {
        let url = server("etcd").new_url();
        let engine = engine_at(&url).expect("a store opens");
        let others: Vec<Write> = (0..200).map(|n| put(key(format!("other{n:03}")), "1")).collect();
        execute(&*engine, Seen::NOTHING, &others).expect("it is written");
        let others = scan(&*engine, &range("other", "p"), 200).records;
        let others: Vec<_> = others.into_iter().map(|(key, record)| (key, Some(record.version))).collect();
        let on_call = range("call", "d");
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for n in 0..2 {
                let (barrier, on_call, url, others) = (&barrier, &on_call, &url, &others);
                scope.spawn(move || {
                    let engine = engine_at(url).expect("a store opens");
                    for round in 0..ROUNDS {
                        execute(&*engine, Seen::NOTHING, &[put(key(format!("call{n}")), "1")]).expect("it is written");
                        barrier.wait();
                        let keys: Vec<_> = scan(&*engine, on_call, 10).records.into_iter().map(|(key, _)| key).collect();
                        let ranges = vec![SeenRange { range: on_call.clone(), keys: keys.clone() }];
                        let records = if much[n] { others.clone() } else { Vec::new() };
                        if keys.len() == 2 {
                            let seen = Seen { records, ranges, ..Seen::default() };
                            execute(&*engine, &seen, &[remove(key(format!("call{n}")))]).expect("it is settled");
                        }
                        barrier.wait();
                        let left = scan(&*engine, on_call, 10).records.len();
                        // So that a failed check does not leave the other one waiting.
                        barrier.wait();
                        assert!(left > 0, "round {round} of {much:?}: both have left");
                    }
                });
            }
        });
    }
}

#[test]
fn the_gate_is_open_again_whatever_was_lost() {
    if !is_there("etcd", "the_gate_is_open_again_whatever_was_lost") {
        return;
    }
    let proxy = Proxy::before(server("etcd").port());
    let url = server("etcd").new_url_through(proxy.port());
    let gate = format!("{}/gate", url.rsplit_once('=').expect("an option").1);
    let engine = engine_at(&url).expect("a store opens");
    let all: Vec<Write> = (0..200).map(|n| put(key(format!("k{n:03}")), "1")).collect();
    execute(&*engine, Seen::NOTHING, &all).expect("it is written");
    let records = scan(&*engine, &range("k", "l"), 200).records.into_iter();
    let seen = Seen { records: records.map(|(key, record)| (key, Some(record.version))).collect(), ..Seen::default() };
    let is_open = || tell(server("etcd"), &["get", "--print-value-only", &gate]).is_empty();
    for n in 0..48 {
        proxy.once([Fault::LoseReply, Fault::LoseRequest][n as usize / 24], n % 12);
        assert!(execute(&*engine, &seen, &[put(key("other"), "1")]).expect("it is settled").differs.is_empty());
        assert!(is_open(), "after request {n}");
    }
    assert!(proxy.met() > 12, "only {} faults were met", proxy.met());
    // Neither does a commit that cannot be made leave it closed.
    let removals: Vec<Write> = (0..1000).map(|n| remove(key(format!("{n:01000}")))).collect();
    execute(&*engine, &seen, &removals).expect_err("it is too much");
    assert!(is_open(), "after a commit that is too large");
    execute(&*engine, Seen::NOTHING, &[put(key("k000"), "2")]).expect("it is written");
    assert!(!execute(&*engine, &seen, &[put(key("other"), "2")]).expect("it is settled").differs.is_empty());
    assert!(is_open(), "after a difference");
}

#[test]
fn as_much_as_the_limits_say_is_committed_at_once() {
    if !is_there("etcd", "as_much_as_the_limits_say_is_committed_at_once") {
        return;
    }
    let engine = engine_at(&server("etcd").new_url()).expect("a store opens");
    let engine = &*engine;
    let limits = engine.limits();
    let name = |n: usize| key(format!("{n:0length$}", length = limits.key_bytes));
    let most = |bytes: &[u8]| (0..limits.commit_records).map(|n| put(key(format!("m{n:04}")), bytes)).collect::<Vec<_>>();
    assert!(execute(engine, Seen::NOTHING, &most(b"1")).expect("it is written").differs.is_empty());
    assert_eq!(scan(engine, &range("m", "n"), 2000).records.len(), limits.commit_records);
    let none: Vec<Write> = most(b"").into_iter().map(|write| remove(write.key)).collect();
    assert!(execute(engine, Seen::NOTHING, &none).expect("they are removed").differs.is_empty());
    assert!(scan(engine, &range("m", "n"), 2000).records.is_empty());
    // The longest keys, as many as are compared one by one, and the largest commit.
    let records: Vec<_> = (0..125).map(|n| (name(n), None)).collect();
    let seen = Seen { records, ..Seen::default() };
    let rest = limits.commit_bytes - limits.record_bytes - 2 * limits.key_bytes;
    let write = [put(name(0), vec![1; limits.record_bytes]), put(name(1), vec![2; rest])];
    let reply = execute(engine, &seen, &write).expect("it is written");
    assert!(reply.differs.is_empty());
    let largest = seen.records[0].clone();
    let page = scan(engine, &KeyRange { start: largest.0, end: name(2) }, 10);
    assert_eq!(page.records.iter().map(|(_, record)| record.bytes.len()).collect::<Vec<_>>(), [limits.record_bytes, rest]);
    // Removals of the longest keys take twice their length.
    let removals: Vec<Write> = (0..1000).map(|n| remove(name(n))).collect();
    let error = execute(engine, Seen::NOTHING, &removals).expect_err("it is too much");
    assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("etcd takes up to"), "{error:?}");
    assert_eq!(scan(engine, &KeyRange { start: name(0), end: name(2) }, 10).records.len(), 2, "nothing was written");
}
