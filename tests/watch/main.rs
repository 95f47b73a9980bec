//! Watching objects: what changes is told, by whomever it was changed, whatever happens to the connection.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use metaparticle::conformance::engine_at;
use metaparticle::engine::{Answer, CommitId, Hint, KeyRange, RecordKey, Request, Seen, Write};
use metaparticle::{Change, Durability, Result, Store, Watch, persistent, transactional};
use metaparticle_tests::proxy::{Fault, Proxy};
use metaparticle_tests::servers::{self, Server};
use metaparticle_tests::{TestStore, on_every_engine, on_threads};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

#[persistent(default)]
struct Counter {
    n: u64,
}

#[persistent(default, singleton)]
struct Settings {
    limit: u64,
}

#[transactional]
fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

fn set(store: &Store, key: &str, n: u64) {
    store.transaction(|tx| tx.get_mut::<Counter>(key).map(|mut counter| counter.n = n)).expect("sets");
}

fn remove(store: &Store, key: &str) {
    assert!(store.transaction(|tx| tx.remove::<Counter>(key)).expect("removes"));
}

/// The next state: its key, and its number if it is there.
fn next(watch: &mut Watch<Counter>) -> (String, Option<u64>) {
    let Change { key, object } = watch.next_within(PATIENCE).expect("something is told").expect("it can be read");
    (key, object.map(|counter| counter.n))
}

/// Waits until the state is told; what comes before may be left out.
fn until(watch: &mut Watch<Counter>, key: &str, n: Option<u64>) {
    while next(watch) != (key.to_owned(), n) {}
}

on_every_engine! {
    the_present_state_is_told_first
    each_state_is_told_to_one_who_keeps_up
    the_last_state_is_never_left_out
    removals_are_told
    only_what_is_watched_is_told
    a_singleton_can_be_watched
    all_objects_of_a_type_are_told_at_first
    many_objects_are_told
    a_stream_tells_on_any_executor
    what_is_told_is_durable_and_can_be_read
    an_object_that_cannot_be_read_is_an_error_that_names_it
    watchers_that_are_dropped_leave_the_store_alone
}

fn the_present_state_is_told_first(engine: &str) {
    let store = TestStore::new(engine);
    assert_eq!(next(&mut store.watch("a")), ("a".to_owned(), None));
    set(&store, "a", 1);
    assert_eq!(next(&mut store.watch("a")), ("a".to_owned(), Some(1)));
}

fn each_state_is_told_to_one_who_keeps_up(engine: &str) {
    let store = TestStore::new(engine);
    let mut watch = store.watch("a");
    assert_eq!(next(&mut watch), ("a".to_owned(), None));
    for n in 1..=20 {
        set(&store, "a", n);
        assert_eq!(next(&mut watch), ("a".to_owned(), Some(n)));
    }
}

fn the_last_state_is_never_left_out(engine: &str) {
    let store = TestStore::new(engine);
    let mut watch = store.watch("a");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            on_threads(4, |_| {
                drop((0..25).map(|_| store.run(|| increment("a"))).collect::<Result<Vec<_>>>().expect("increments"))
            })
        });
        let mut last = 0;
        while last < 100 {
            let n = next(&mut watch).1.unwrap_or(0);
            assert!(n >= last, "{n} was told after {last}");
            last = n;
        }
    });
    assert!(watch.next_within(Duration::from_millis(1)).is_none(), "there is no other state");
}

fn removals_are_told(engine: &str) {
    let store = TestStore::new(engine);
    let (mut one, mut all) = (store.watch("a"), store.watch_all());
    assert_eq!(next(&mut one), ("a".to_owned(), None));
    for n in 1..=3 {
        set(&store, "a", n);
        assert_eq!((next(&mut one), next(&mut all)), (("a".to_owned(), Some(n)), ("a".to_owned(), Some(n))));
        remove(&store, "a");
        assert_eq!((next(&mut one), next(&mut all)), (("a".to_owned(), None), ("a".to_owned(), None)));
    }
}

fn only_what_is_watched_is_told(engine: &str) {
    let store = TestStore::new(engine);
    let (mut one, mut some) = (store.watch("b"), store.watch_range("b".."d"));
    assert_eq!(next(&mut one), ("b".to_owned(), None));
    for key in ["a", "c", "d", "b"] {
        set(&store, key, 7);
    }
    store.transaction(|tx| tx.insert((), Settings { limit: 3 })).expect("inserts");
    assert_eq!(next(&mut one), ("b".to_owned(), Some(7)));
    let mut told = [next(&mut some), next(&mut some)];
    told.sort();
    assert_eq!(told, [("b".to_owned(), Some(7)), ("c".to_owned(), Some(7))]);
    assert!(one.next_within(Duration::from_millis(1)).is_none() && some.next_within(Duration::from_millis(1)).is_none());
}

fn a_singleton_can_be_watched(engine: &str) {
    let store = TestStore::new(engine);
    let (mut one, mut all) = (store.watch::<Settings>(()), store.watch_all::<Settings>());
    assert!(one.next_within(PATIENCE).expect("told").expect("readable").object.is_none());
    store.transaction(|tx| tx.insert((), Settings { limit: 3 })).expect("inserts");
    for watch in [&mut one, &mut all] {
        assert_eq!(watch.next_within(PATIENCE).expect("told").expect("readable").object.map(|settings| settings.limit), Some(3));
    }
}

fn all_objects_of_a_type_are_told_at_first(engine: &str) {
    let store = TestStore::new(engine);
    // More than are read at once.
    let fill = |tx: &metaparticle::Tx| (0..600_u64).try_for_each(|n| tx.insert(format!("{n:03}"), Counter { n }));
    store.transaction(fill).expect("fills");
    let mut watch = store.watch_all();
    for n in 0..600 {
        assert_eq!(next(&mut watch), (format!("{n:03}"), Some(n)));
    }
    remove(&store, "300");
    assert_eq!(next(&mut watch), ("300".to_owned(), None));
}

/// More than hints are kept for.
fn many_objects_are_told(engine: &str) {
    let store = TestStore::with(engine, |settings| settings.timeout(Duration::from_secs(100)));
    let mut watch = store.watch_all();
    set(&store, "first", 1);
    assert_eq!(next(&mut watch), ("first".to_owned(), Some(1)));
    // As many as every engine commits at once.
    for part in [0..750, 750..1500_u64] {
        let fill = |tx: &metaparticle::Tx| part.clone().try_for_each(|n| tx.insert(format!("{n:04}"), Counter { n }));
        store.transaction(fill).expect("fills");
    }
    remove(&store, "first");
    let mut told = BTreeMap::new();
    while told.len() < 1501 {
        let (key, n) = next(&mut watch);
        told.insert(key, n);
    }
    assert_eq!(told.remove("first"), Some(None));
    assert!(told.into_iter().enumerate().all(|(at, (key, n))| key == format!("{at:04}") && n == Some(at as u64)));
}

async fn count_to(store: &Store, end: u64) {
    let mut watch = store.watch::<Counter>("a");
    let mut last = 0;
    while last < end {
        let change = StreamExt::next(&mut watch).await.expect("it goes on").expect("it can be read");
        last = change.object.map_or(0, |counter| counter.n);
    }
}

fn a_stream_tells_on_any_executor(engine: &str) {
    let store = TestStore::new(engine);
    let writer = |store: &Store, end| {
        let store = store.clone();
        move || (0..end).for_each(|_| assert!(store.run(|| increment("a")).is_ok()))
    };
    let thread = std::thread::spawn(writer(&store, 10));
    pollster::block_on(count_to(&store, 10));
    thread.join().expect("no panic");
    let thread = std::thread::spawn(writer(&store, 10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(within_patience(count_to(&store, 20)));
    thread.join().expect("no panic");
}

async fn within_patience<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not block")
}

fn what_is_told_is_durable_and_can_be_read(engine: &str) {
    let store = TestStore::with(engine, |settings| settings.durability(Durability::Eventual));
    let mut watch = store.watch("a");
    assert_eq!(next(&mut watch), ("a".to_owned(), None));
    for n in 1..=5 {
        set(&store, "a", n);
        assert_eq!(next(&mut watch).1, Some(n));
        let read = store.transaction(|tx| tx.get::<Counter>("a").map(|counter| counter.n));
        assert_eq!(read.expect("reads"), n);
    }
}

fn an_object_that_cannot_be_read_is_an_error_that_names_it(engine: &str) {
    use metaparticle::inspect::{Change, Inspector};
    let store = TestStore::new(engine);
    for key in ["a", "b", "c"] {
        set(&store, key, 1);
    }
    let inspector = Inspector::new(&store);
    let range = inspector.stored_type("Counter").expect("a schema").expect("it is known").range();
    let keys: Vec<_> = inspector.records(range).map(|record| record.expect("reads").0).collect();
    inspector.update(&keys[1], |_| Ok(Change::Write(vec![1, 0xff]))).expect("writes");
    let mut watch = store.watch_all::<Counter>();
    assert_eq!(next(&mut watch), ("a".to_owned(), Some(1)));
    let error = watch.next_within(PATIENCE).expect("told").err().expect("it cannot be read");
    assert!(error.to_string().contains("Counter \"b\""), "{error}");
    assert_eq!(next(&mut watch), ("c".to_owned(), Some(1)));
    inspector.update(&keys[1], |_| Ok(Change::Remove)).expect("removes");
    assert_eq!(next(&mut watch), ("b".to_owned(), None));
}

fn watchers_that_are_dropped_leave_the_store_alone(engine: &str) {
    let store = TestStore::new(engine);
    for n in 1..=50 {
        let mut watch = store.watch("a");
        set(&store, "a", n);
        until(&mut watch, "a", Some(n));
    }
}

/// What other processes do.
mod across_processes {
    use super::*;

    metaparticle_tests::on_every_server! {
        changes_of_others_are_told
        changes_of_others_are_told_to_one_who_is_always_told_something
        a_lost_connection_loses_no_state
        a_server_that_crashes_loses_no_state
    }

    metaparticle_tests::on_server! { told_by_etcd "etcd" the_server_says_what_others_have_changed }
    metaparticle_tests::on_server! { told_by_postgres "postgres" the_server_says_what_others_have_changed }
    metaparticle_tests::on_server! { told_by_redis "redis" the_server_says_what_others_have_changed }
}

/// Two stores on one URL, as two processes have them.
fn changes_of_others_are_told(engine: &str) {
    let url = servers::shared(engine).expect("the server is there").new_url();
    let (store, other) = (Store::open(&url).expect("a store"), Store::open(&url).expect("a store"));
    let (mut one, mut all) = (store.watch("a"), store.watch_all());
    assert_eq!(next(&mut one), ("a".to_owned(), None));
    for n in 1..=20 {
        set(&other, "a", n);
        assert_eq!((next(&mut one), next(&mut all)), (("a".to_owned(), Some(n)), ("a".to_owned(), Some(n))));
    }
    remove(&other, "a");
    assert_eq!((next(&mut one), next(&mut all)), (("a".to_owned(), None), ("a".to_owned(), None)));
}

/// There is a hint whenever it is waited for one; what comes without a hint must be looked for all the same.
fn changes_of_others_are_told_to_one_who_is_always_told_something(engine: &str) {
    let url = servers::shared(engine).expect("the server is there").new_url();
    let (store, other) = (Store::open(&url).expect("a store"), Store::open(&url).expect("a store"));
    let mut watch = store.watch_all();
    set(&store, "busy", 1);
    until(&mut watch, "busy", Some(1));
    set(&other, "other", 1);
    let began = Instant::now();
    for n in 2.. {
        set(&store, "busy", n);
        if next(&mut watch) == ("other".to_owned(), Some(1)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "what the other has changed is not told");
    }
}

/// Not only that something may have: so whoever watches need not look at everything.
fn the_server_says_what_others_have_changed(engine: &str) {
    let url = servers::shared(engine).expect("the server is there").new_url();
    let [one, other] = [(); 2].map(|()| engine_at(&url).expect("an engine"));
    let range = KeyRange { start: RecordKey::new(*b"a"), end: RecordKey::new(*b"c") };
    let subscription = one.subscribe(&[range]);
    let write = |key: &[u8], bytes: Option<&[u8]>| {
        let write = [Write { key: RecordKey::new(key), bytes: bytes.map(Into::into) }];
        let (id, durability) = (CommitId(fastrand::u128(..)), Durability::Immediate);
        let request = Request { compare: Seen::NOTHING, read: &[], write: &write, id, durability };
        match other.execute(request) {
            Answer::Ready(reply) => reply,
            Answer::Later(reply) | Answer::Committing(reply) => pollster::block_on(reply),
        }
        .expect("writes");
    };
    // The first hint says that it is heard from now on.
    assert_eq!(pollster::block_on(subscription.next()), Hint::Missed);
    for bytes in [Some(&b"1"[..]), None] {
        write(b"outside", bytes);
        write(b"b\0\xff", bytes);
        assert_eq!(pollster::block_on(subscription.next()), Hint::Keys([RecordKey::new(*b"b\0\xff")].into()));
    }
    assert!(subscription.check().is_some_and(|check| check >= Duration::from_secs(1)), "it asks often although it is told");
}

/// Whatever is lost, hints or answers, the last state is told.
fn a_lost_connection_loses_no_state(engine: &str) {
    let server = servers::shared(engine).expect("the server is there");
    let proxy = Proxy::before(server.port());
    let url = server.new_url();
    let number = url.rsplit('_').next().expect("its number");
    let through = url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    assert!(through.ends_with(number) && through != url);
    let (store, other) = (Store::open(&through).expect("a store"), Store::open(&url).expect("a store"));
    let (mut one, mut all) = (store.watch("a"), store.watch_all());
    assert_eq!(next(&mut one), ("a".to_owned(), None));
    for n in 1..=20 {
        proxy.once(Fault::LoseReply, n % 3);
        set(&other, "a", n.into());
        until(&mut one, "a", Some(n.into()));
        until(&mut all, "a", Some(n.into()));
    }
}

fn a_server_that_crashes_loses_no_state(engine: &str) {
    let mut server = Server::start(engine);
    let url = server.new_url();
    let (store, other) = (Store::open(&url).expect("a store"), Store::open(&url).expect("a store"));
    let (mut one, mut all) = (store.watch("a"), store.watch_all());
    assert_eq!(next(&mut one), ("a".to_owned(), None));
    for n in 1..=3 {
        set(&other, "a", n);
        server.crash_and_restart();
        set(&other, "b", n);
        until(&mut one, "a", Some(n));
        let mut left = vec![("a".to_owned(), Some(n)), ("b".to_owned(), Some(n))];
        while !left.is_empty() {
            let told = next(&mut all);
            left.retain(|state| *state != told);
        }
    }
}
