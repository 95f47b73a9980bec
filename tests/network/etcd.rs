//! What only etcd has: clusters, quotas, leases, users, certificates.

mod commits;

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaparticle::conformance::engine_at;
use metaparticle::engine::{Answer, CommitId, Engine, KeyRange, Page, RecordKey, Reply, Request, Seen, Write};
use metaparticle::{Durability, ErrorKind, Store};
use metaparticle_tests::servers::{Server, free_port, is_there};

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
    std::thread::scope(|scope| {
        let calls = || {
            // An election can take its time where there are few processors.
            let store = Store::builder(&*url).timeout(Duration::from_secs(120)).open().expect("a store opens");
            while answered.load(Ordering::Relaxed) < goal {
                match store.run(|| increment("n")) {
                    Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                    Err(error) if error.is_indeterminate() => unknown.fetch_add(1, Ordering::Relaxed),
                    Err(error) => panic!("{error:?}"),
                };
            }
        };
        let callers = [(); 3].map(|()| scope.spawn(calls));
        // A caller that has ended before the goal has failed.
        let reached = |n| {
            while answered.load(Ordering::Relaxed) < n && !callers.iter().any(|caller| caller.is_finished()) {
                std::thread::yield_now();
            }
        };
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
    let away = free_port();
    let url = server("etcd").new_url().replace("etcd://", &format!("etcd://127.0.0.1:{away},"));
    for n in 1..=10 {
        assert_eq!(open(&url).run(|| increment("n")).expect("increments"), n);
    }
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
