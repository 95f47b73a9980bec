//! What only etcd has: clusters, spans, quotas, leases, users, certificates.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaparticle::conformance::engine_at;
use metaparticle::engine::{Answer, CommitId, Engine, KeyRange, Page, RecordKey, Reply, Request, Seen, SeenRange, Write};
use metaparticle::{Durability, ErrorKind, Store};
use metaparticle_tests::proxy::{Fault, Proxy};
use metaparticle_tests::servers::{Server, is_there};

use crate::{count, increment, open, server};

/// Runs `etcdctl` on a server.
fn tell(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints=127.0.0.1:{}", server.port())).args(arguments);
    let output = command.output().expect("etcdctl runs; `apt-get install etcd-client` brings it");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn wait<T>(answer: Answer<'_, T>) -> metaparticle::Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(future) | Answer::Committing(future) => pollster::block_on(future),
    }
}

fn execute(engine: &dyn Engine, compare: &Seen, write: &[Write]) -> metaparticle::Result<Reply> {
    let (id, durability) = (CommitId(fastrand::u128(..)), Durability::Immediate);
    wait(engine.execute(Request { compare, read: &[], write, id, durability }))
}

fn key(text: impl Into<String>) -> RecordKey {
    RecordKey::new(text.into().into_bytes())
}

fn put(key: RecordKey, bytes: impl Into<Vec<u8>>) -> Write {
    Write { key, bytes: Some(bytes.into().into()) }
}

fn remove(key: RecordKey) -> Write {
    Write { key, bytes: None }
}

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange { start: key(start), end: key(end) }
}

fn scan(engine: &dyn Engine, range: &KeyRange, limit: usize) -> Page {
    wait(engine.scan(Seen::NOTHING, range, limit)).expect("it is read")
}

#[test]
fn a_cluster_whose_members_crash_one_after_the_other_loses_nothing_and_goes_on() {
    if !is_there("etcd", "a_cluster_whose_members_crash_one_after_the_other_loses_nothing_and_goes_on") {
        return;
    }
    let mut members = Server::start_etcd(3, &[]);
    let ports: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.port())).collect();
    let url = format!("etcd://{}/", ports.join(","));
    let (answered, unknown) = (AtomicU64::new(0), AtomicU64::new(0));
    // Each member is away for a while, and the leader is one of them.
    let goal = 100 * members.len() as u64 * 2;
    let reached = |n| {
        while answered.load(Ordering::Relaxed) < n {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = Store::builder(&*url).timeout(Duration::from_secs(25)).open().expect("a store opens");
                while answered.load(Ordering::Relaxed) < goal {
                    match store.run(|| increment("n")) {
                        Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                        Err(error) if error.is_indeterminate() => unknown.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error:?}"),
                    };
                }
            });
        }
        let mut step = 0;
        for member in &mut members {
            member.crash();
            step += 100;
            reached(step);
            member.restart();
            step += 100;
            reached(step.min(goal));
        }
    });
    let (answered, unknown) = (answered.into_inner(), unknown.into_inner());
    let counted = open(&url).run(|| count("n")).expect("counts");
    assert!((answered..=answered + unknown).contains(&counted), "{counted} are there, {answered} answered, {unknown} unknown");
}

#[test]
fn a_member_that_is_away_is_left_for_another_one() {
    if !is_there("etcd", "a_member_that_is_away_is_left_for_another_one") {
        return;
    }
    let away = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let url = server("etcd").new_url().replace("etcd://", &format!("etcd://127.0.0.1:{away},"));
    for n in 1..=10 {
        assert_eq!(open(&url).run(|| increment("n")).expect("increments"), n);
    }
}

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
    let changes: [(&str, fn(usize) -> Write); 4] = [
        ("a change", |n| put(key(format!("k{:04}", 2 * n)), "new")),
        ("a removal", |n| remove(key(format!("k{:04}", 2 * n)))),
        ("an insert between", |n| put(key(format!("k{:04}", 2 * n + 1)), "new")),
        ("an insert after the removal", |n| put(key(format!("k{:04}", 2 * n)), "new")),
    ];
    for (records, ranges) in [(400, 0), (10, 1), (400, 1), (400, 50), (0, 1), (0, 100)] {
        for (what, change) in &changes {
            if (*what == "an insert between" && ranges == 0) || (*what == "a change" && records == 0) {
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
            let changed = change(if records == 10 { 5 } else { fastrand::usize(0..25) * 4 });
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
    let records: Vec<_> = (0..63).map(|n| (name(n), None)).collect();
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

#[test]
fn a_server_with_smaller_limits_refuses_the_whole_commit_and_says_why() {
    if !is_there("etcd", "a_server_with_smaller_limits_refuses_the_whole_commit_and_says_why") {
        return;
    }
    let servers = Server::start_etcd(1, &["--max-txn-ops=8", "--max-request-bytes=20000"]);
    let engine = engine_at(&servers[0].new_url()).expect("a store opens");
    let many: Vec<Write> = (0..20).map(|n| put(key(format!("k{n}")), "1")).collect();
    let large = vec![put(key("k"), vec![0; 30_000])];
    for writes in [many, large] {
        let error = execute(&*engine, Seen::NOTHING, &writes).expect_err("it is too much");
        assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("--max-"), "{error:?}");
        assert!(scan(&*engine, &range("k", "l"), 100).records.is_empty());
    }
    execute(&*engine, Seen::NOTHING, &[put(key("k"), "1")]).expect("it goes on");
}

#[test]
fn a_server_without_space_says_so_and_what_it_took_is_known() {
    if !is_there("etcd", "a_server_without_space_says_so_and_what_it_took_is_known") {
        return;
    }
    let servers = Server::start_etcd(1, &["--quota-backend-bytes=4000000"]);
    let url = servers[0].new_url();
    let engine = engine_at(&url).expect("a store opens");
    let mut answered = 0;
    let large = |n: u8| put(key("k"), vec![n; 200_000]);
    let error = loop {
        match execute(&*engine, Seen::NOTHING, &[large(answered)]) {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 100, "the quota is not kept");
    };
    assert!(error.kind() == ErrorKind::Engine && error.to_string().contains("NOSPACE"), "{error:?}");
    let there = || scan(&*engine, &range("k", "l"), 1).records[0].1.bytes[0];
    assert_eq!(there(), answered - 1, "what was refused is there, or what was answered is not");
    assert!(open(&url).warnings().iter().any(|warning| warning.contains("NOSPACE")), "{:?}", open(&url).warnings());
    // As the error says.
    let revision = tell(&servers[0], &["get", "--write-out=json", "x"]);
    let revision = revision.split("\"revision\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).expect("a revision");
    tell(&servers[0], &["compact", revision]);
    tell(&servers[0], &["defrag"]);
    tell(&servers[0], &["alarm", "disarm"]);
    execute(&*engine, Seen::NOTHING, &[large(answered)]).expect("it goes on");
    assert_eq!(there(), answered);
}

#[test]
fn keys_that_are_not_ours_are_left_alone_by_etcd() {
    if !is_there("etcd", "keys_that_are_not_ours_are_left_alone_by_etcd") {
        return;
    }
    for foreign in ["other", "format", "r/key"] {
        let url = server("etcd").new_url();
        let prefix = url.rsplit_once('=').expect("an option").1;
        tell(server("etcd"), &["put", &format!("{prefix}/{foreign}"), "theirs"]);
        let error = Store::open(&url).expect_err("it is not a store");
        assert_eq!(error.kind(), ErrorKind::Setup, "{error:?}");
        assert!(error.to_string().contains("is not a metaparticle store"), "{error:?}");
    }
}

#[test]
fn a_lease_that_was_revoked_is_replaced() {
    if !is_there("etcd", "a_lease_that_was_revoked_is_replaced") {
        return;
    }
    let servers = Server::start_etcd(1, &[]);
    let store = open(&servers[0].new_url());
    store.run(|| increment("n")).expect("increments");
    for lease in tell(&servers[0], &["lease", "list"]).lines().skip(1) {
        tell(&servers[0], &["lease", "revoke", lease]);
    }
    assert_eq!(store.run(|| increment("n")).expect("increments"), 2);
}

#[test]
fn a_user_is_let_in_by_the_password_only() {
    if !is_there("etcd", "a_user_is_let_in_by_the_password_only") {
        return;
    }
    let servers = Server::start_etcd(1, &[]);
    // Opened before, so that the store has no token.
    let before = open(&servers[0].new_url());
    before.run(|| increment("n")).expect("increments");
    let root = ["--user=root:secret", "auth"];
    tell(&servers[0], &["user", "add", "root:secret"]);
    tell(&servers[0], &["user", "grant-role", "root", "root"]);
    tell(&servers[0], &["auth", "enable"]);
    assert_eq!(before.run(|| increment("n")).expect_err("it has no password").kind(), ErrorKind::Setup);
    let url = servers[0].new_url();
    let store = open(&url.replace("etcd://", "etcd://root:secret@"));
    assert_eq!(store.run(|| increment("n")).expect("increments"), 1);
    let error = Store::open(url.replace("etcd://", "etcd://root:wrong@")).expect_err("the password is wrong");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error:?}");
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    // The tokens that were given are forgotten by this.
    tell(&servers[0], &[root[0], root[1], "disable"]);
    tell(&servers[0], &["auth", "enable"]);
    assert_eq!(store.run(|| increment("n")).expect("it asks for another token"), 2);
}

#[test]
fn an_encrypted_server_is_verified() {
    if !is_there("etcd", "an_encrypted_server_is_verified") {
        return;
    }
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The server is another user.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("it can be opened");
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    std::fs::write(&certificate, made.cert.pem()).expect("it is written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("it is written");
    let (of_certificate, of_key) = (format!("--cert-file={}", certificate.display()), format!("--key-file={}", key.display()));
    let servers = Server::start_etcd(1, &[&of_certificate, &of_key]);
    let url = servers[0].new_url().replace("etcd://", "etcds://");
    let store = open(&format!("{url}&sslrootcert={}", certificate.display()));
    assert_eq!(store.run(|| increment("n")).expect("increments"), 1);
    let error = Store::builder(&*url).timeout(Duration::from_secs(1)).open().expect_err("nobody vouches for it");
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Setup), "{error:?}");
}
