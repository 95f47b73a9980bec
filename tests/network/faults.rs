//! Exactly once, whatever the network and the server do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaparticle::conformance::engine_at;
use metaparticle::engine::{Answer, CommitId, Engine, RecordKey, Reply, Request, Seen, Write};
use metaparticle::{Durability, Store};
use metaparticle_tests::on_threads;
use metaparticle_tests::proxy::{Fault, Proxy};
use metaparticle_tests::servers::Server;
use metaparticle_tests::servers::mariadb::sql;

use crate::cluster::is_done;
use crate::{count, increment, increment_after, open, server};

metaparticle_tests::on_every_server! {
    lost_answers_are_settled
    lost_answers_of_several_threads_are_settled
    blind_writes_whose_answers_are_lost_are_made_once
    an_answer_that_never_comes_is_given_up
    an_answer_is_waited_for_with_eventual_durability_too
    a_request_that_comes_late_is_not_carried_out_again
    a_server_that_crashes_loses_nothing_that_was_answered
}

metaparticle_tests::on_server! { on_mysql_alone "mysql"
    a_server_that_falls_silent_costs_one_try
    a_server_that_takes_no_writes_any_more_is_left
}

metaparticle_tests::on_server! { on_postgres_alone "postgres"
    a_server_that_falls_silent_costs_one_try
}

metaparticle_tests::on_server! { on_redis_alone "redis"
    a_server_that_takes_no_writes_any_more_is_left
}

/// How many other requests pass before a fault: so that it meets reads, comparisons and commits.
const SKIPS: u32 = 4;

/// How many faults each test brings about; `FAULTS=1000` is the long form.
fn faults() -> u32 {
    std::env::var("FAULTS").map_or(25, |faults| faults.parse().expect("FAULTS is a number"))
}

fn lost_answers_are_settled(engine: &str) {
    for fault in [Fault::LoseReply, Fault::LoseRequest] {
        let proxy = Proxy::before(server(engine).port());
        let store = open(&server(engine).new_url_through(proxy.port()));
        let mut n = 0;
        while proxy.met() < faults() {
            proxy.once(fault, n % SKIPS);
            assert_eq!(store.run(|| increment_after("n", "other")).expect("it is settled"), u64::from(n) + 1, "{fault:?}");
            n += 1;
        }
        assert_eq!(store.run(|| count("n")).expect("counts"), u64::from(n));
        println!("{engine}, {fault:?}: {n} transactions, {} faults", proxy.met());
    }
}

fn lost_answers_of_several_threads_are_settled(engine: &str) {
    let proxy = Proxy::before(server(engine).port());
    let store = open(&server(engine).new_url_through(proxy.port()));
    let answered = AtomicU64::new(0);
    on_threads(4, |thread| {
        for n in 0..faults() {
            proxy.once(Fault::LoseReply, (thread as u32 + n) % SKIPS);
            store.run(|| increment("n")).expect("it is settled");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(store.run(|| count("n")).expect("counts"), answered.into_inner());
}

fn wait<T>(answer: Answer<'_, T>) -> metaparticle::Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(future) | Answer::Committing(future) => {
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
        }
    }
}

fn key() -> RecordKey {
    RecordKey::new(&b"key"[..])
}

fn execute(engine: &dyn Engine, compare: &Seen, bytes: Option<&[u8]>) -> Reply {
    let write = [Write { key: key(), bytes: bytes.map(Into::into) }];
    let (id, durability) = (CommitId(fastrand::u128(..)), Durability::Immediate);
    wait(engine.execute(Request { compare, read: &[], write: &write, id, durability })).expect("it is settled")
}

fn read(engine: &dyn Engine) -> Option<metaparticle::engine::Record> {
    let (id, durability) = (CommitId(0), Durability::Immediate);
    let request = Request { compare: Seen::NOTHING, read: &[key()], write: &[], id, durability };
    wait(engine.execute(request)).expect("it is read").read.remove(0)
}

/// A write that compares nothing could be made twice without anybody noticing, but for its version and what came between.
fn blind_writes_whose_answers_are_lost_are_made_once(engine: &str) {
    let proxy = Proxy::before(server(engine).port());
    let engine = engine_at(&server(engine).new_url_through(proxy.port())).expect("a store opens");
    for n in 0..faults() {
        proxy.once(Fault::LoseReply, 0);
        let reply = execute(&*engine, Seen::NOTHING, Some(&n.to_be_bytes()));
        let record = read(&*engine).expect("it is there");
        assert_eq!((&*record.bytes, Some(record.version)), (&n.to_be_bytes()[..], reply.version));
    }
    assert_eq!(proxy.met(), faults());
}

fn an_answer_that_never_comes_is_given_up(engine: &str) {
    let proxy = Proxy::before(server(engine).port());
    let url = server(engine).new_url_through(proxy.port());
    let store = Store::builder(url).timeout(Duration::from_secs(25)).open().expect("a store opens");
    store.run(|| increment("n")).expect("increments");
    proxy.once(Fault::Stall, 1);
    assert_eq!(store.run(|| increment_after("n", "other")).expect("it is settled"), 2);
    assert_eq!(proxy.met(), 1);
}

fn an_answer_is_waited_for_with_eventual_durability_too(engine: &str) {
    // What comes before the commit only reads, so its outcome is known.
    let is_commit = |skip| {
        let proxy = Proxy::before(server(engine).port());
        let builder = Store::builder(server(engine).new_url_through(proxy.port())).durability(Durability::Eventual);
        let store = builder.timeout(Duration::from_secs(3)).open().expect("a store opens");
        proxy.once(Fault::Stall, skip);
        store.run(|| increment("n")).expect_err("it has no answer").is_indeterminate()
    };
    assert!((0..).any(is_commit), "it ends at the latest when nothing is met");
}

/// The first request is held up until its outcome has been settled by a second one. Then it arrives, and what it compares
/// holds again: it must be refused by its id.
fn a_request_that_comes_late_is_not_carried_out_again(engine: &str) {
    let proxy = Proxy::before(server(engine).port());
    let url = server(engine).new_url_through(proxy.port());
    let (late, other) = (engine_at(&url).expect("a store opens"), engine_at(&url).expect("a store opens"));
    // An engine that decides by itself what a comparison comes to sends no commit that can come late, but for a blind one; and
    // with `mysql`, one that only inserts.
    let compares = engine != "postgres";
    // So that what is held is the commit, and not what an engine asks before its first one.
    execute(&*late, Seen::NOTHING, None);
    let absent = Seen { records: vec![(key(), None)], ..Seen::default() };
    let compare = if compares { &absent } else { Seen::NOTHING };
    proxy.once(Fault::Hold, 0);
    let reply = std::thread::scope(|scope| {
        let late = scope.spawn(|| execute(&*late, compare, Some(b"late")));
        proxy.wait_until_met(1);
        execute(&*other, Seen::NOTHING, Some(b"other"));
        late.join().expect("no panic")
    });
    assert_eq!(reply.differs.is_empty(), !compares, "by the second request it is settled");
    execute(&*other, Seen::NOTHING, None);
    proxy.release();
    assert_eq!(read(&*other), None, "the late request was carried out although it had been settled");
}

/// Two callers increment until so many calls were answered, while faults happen: `faults` is given what waits for so many answers.
pub(crate) fn loses_no_answered_call(store: &Store, calls: u64, faults: impl FnOnce(&dyn Fn(u64))) {
    let (answered, unknown) = (AtomicU64::new(0), AtomicU64::new(0));
    let call = || {
        while answered.load(Ordering::Relaxed) < calls {
            match store.run(|| increment("n")) {
                Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                Err(error) if error.is_indeterminate() => unknown.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error:?}"),
            };
        }
    };
    std::thread::scope(|scope| {
        let callers = [scope.spawn(call), scope.spawn(call)];
        faults(&|enough| {
            while answered.load(Ordering::Relaxed) < enough && !callers.iter().any(|caller| caller.is_finished()) {
                std::thread::yield_now();
            }
        });
    });
    let (answered, unknown) = (answered.into_inner(), unknown.into_inner());
    let counted = store.run(|| count("n")).expect("counts");
    assert!((answered..=answered + unknown).contains(&counted), "{counted} are there, {answered} answered, {unknown} unknown");
}

fn a_server_that_crashes_loses_nothing_that_was_answered(engine: &str) {
    let mut server = Server::start(engine);
    let store = Store::builder(server.new_url()).timeout(Duration::from_secs(25)).open().expect("a store opens");
    loses_no_answered_call(&store, 400, |wait_for| {
        for crash in 1..=3 {
            wait_for(crash * 100);
            server.crash_and_restart();
        }
    });
}

/// All connections that are there are of no more use, and it would take too long to find that out for each of them.
fn a_server_that_falls_silent_costs_one_try(engine: &str) {
    let proxy = Proxy::before(server(engine).port());
    let url = server(engine).new_url_through(proxy.port());
    let store = Store::builder(url).timeout(Duration::from_secs(15)).open().expect("a store opens");
    while proxy.connections() < 7 {
        on_threads(8, |thread| {
            store.run(|| increment(thread.to_string())).expect("increments");
        });
    }
    proxy.falls_silent();
    assert_eq!(store.run(|| increment("n")).expect("it goes on"), 1);
}

/// Where the same name leads to another server after a take-over.
fn a_server_that_takes_no_writes_any_more_is_left(engine: &str) {
    let (before, after) = (Server::start(engine), Server::start(engine));
    for server in [&before, &after] {
        drop(open(&server.new_url()));
        if engine == "mysql" {
            // Administrators may write all the same.
            sql(server, "CREATE USER other IDENTIFIED BY 'secret'; GRANT ALL ON tests.* TO other");
        }
    }
    let proxy = Proxy::before(before.port());
    let url = before.new_url_through(proxy.port()).replace("tests:", "other:");
    let there = open(&url.replace(&proxy.port().to_string(), &after.port().to_string()));
    let store = open(&url);
    for store in [&store, &there] {
        store.run(|| increment("n")).expect("increments");
    }
    proxy.lead_to(after.port());
    if engine == "mysql" {
        sql(&before, "SET GLOBAL read_only = 1");
    } else {
        is_done(&before, &format!("REPLICAOF 127.0.0.1 {}", after.port()));
    }
    store.run(|| increment("n")).expect("increments");
    assert_eq!(there.run(|| count("n")).expect("counts"), 2);
}
