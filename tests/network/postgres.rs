//! What is particular to PostgreSQL: several hosts, its tables, and what its roles may.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use metaparticle::conformance::engine_at;
use metaparticle::engine::{Answer, CommitId, Engine, RecordKey, Reply, Request, Seen, Write};
use metaparticle::{Durability, ErrorKind, Store};
use metaparticle_tests::on_threads;
use metaparticle_tests::proxy::Proxy;
use metaparticle_tests::servers::postgres::sql;
use metaparticle_tests::servers::{Server, is_there};

use crate::{increment, open, server};

fn table_of(url: &str) -> &str {
    url.rsplit_once('=').expect("an option").1
}

/// Makes tests of functions, each of which is given the server that tests share.
macro_rules! on_the_shared_server {
    ($($name:ident)*) => {
        $(#[test] fn $name() {
            if is_there("postgres", stringify!($name)) { tests::$name(server("postgres")); }
        })*
    };
}

on_the_shared_server! {
    a_host_that_is_silent_is_left_for_the_next_one
    more_old_ids_than_one_statement_can_forget_are_forgotten_part_by_part
    a_commit_that_failed_before_its_end_is_known_not_to_be_made
    the_wait_for_a_connection_takes_no_time_from_a_try
    what_nobody_waits_for_any_more_is_not_sent
    a_role_that_may_not_make_tables_opens_a_store_that_is_there
}

/// Has `work` done before each row is written to, or deleted from, a table.
fn before_each_row(server: &Server, table: &str, of: &str, work: &str) {
    let begin = format!("CREATE FUNCTION work_{table}() RETURNS trigger LANGUAGE plpgsql AS");
    sql(server, &format!("{begin} $$ BEGIN {work}; IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"));
    sql(server, &format!("CREATE TRIGGER work BEFORE {of} ON {table} FOR EACH ROW EXECUTE FUNCTION work_{table}()"));
}

/// How often writing to a store with this URL has begun; each time it takes two seconds.
fn slow_writes(server: &Server, url: &str) -> impl Fn() -> u32 {
    let table = table_of(url);
    sql(server, &format!("CREATE SEQUENCE writes_{table}"));
    before_each_row(server, table, "INSERT", &format!("PERFORM nextval('writes_{table}'), pg_sleep(2)"));
    let begun = format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM writes_{table}");
    move || sql(server, &begun).parse().expect("a number")
}

/// A role that may use what is in the store with this URL and nothing else, and its URL.
fn role_of(server: &Server, url: &str) -> (String, String) {
    let table = table_of(url);
    let role = format!("role_{table}");
    sql(server, &format!("CREATE ROLE {role} LOGIN"));
    sql(server, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table}, {table}_commits TO {role}"));
    let url = url.replace("tests:", &format!("{role}:"));
    (role, url)
}

fn commit<'a>(engine: &'a dyn Engine, write: &'a [Write]) -> impl Future<Output = metaparticle::Result<Reply>> + 'a {
    let (id, durability) = (CommitId(fastrand::u128(..)), Durability::Immediate);
    match engine.execute(Request { compare: Seen::NOTHING, read: &[], write, id, durability }) {
        Answer::Ready(_) => panic!("it is behind a network"),
        Answer::Later(future) | Answer::Committing(future) => future,
    }
}

fn put(key: &str) -> [Write; 1] {
    [Write { key: RecordKey::new(key.as_bytes()), bytes: Some(b"1"[..].into()) }]
}

mod tests {
    use super::*;

    pub(super) fn a_host_that_is_silent_is_left_for_the_next_one(server: &Server) {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("its address").port();
        let url = server.new_url().replace("@127", &format!("@127.0.0.1:{port},127"));
        assert_eq!(open(&url).run(|| increment("n")).expect("increments"), 1);
    }

    pub(super) fn more_old_ids_than_one_statement_can_forget_are_forgotten_part_by_part(server: &Server) {
        let url = server.new_url();
        drop(open(&url));
        let ids = format!("{}_commits", table_of(&url));
        let old =
            "SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), true, now() - interval '2 hours' FROM generate_series(1, 800) n";
        sql(server, &format!("INSERT INTO {ids} (id, applied, made) {old}"));
        // All of them take longer than a statement may.
        before_each_row(server, &ids, "DELETE", "PERFORM pg_sleep(0.01)");
        let store = open(&url);
        store.run(|| increment("n")).expect("increments");
        let number = |of: &str| sql(server, &format!("SELECT count(*) FROM {ids} WHERE {of}"));
        let begin = Instant::now();
        while number("made < now() - interval '1 hour'") != "0" {
            assert!(begin.elapsed() < Duration::from_secs(60), "there are still {}", number("true"));
        }
        assert_ne!(number("true"), "0", "those that are not old have gone, too");
    }

    pub(super) fn a_commit_that_failed_before_its_end_is_known_not_to_be_made(server: &Server) {
        let url = server.new_url();
        drop(open(&url));
        let (role, url) = role_of(server, &url);
        let store = open(&url);
        store.run(|| increment("n")).expect("increments");
        sql(server, &format!("REVOKE INSERT ON {} FROM {role}", table_of(&url)));
        let error = store.run(|| increment("n")).expect_err("it may not write");
        assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("42501"), "{error:?}");
    }

    pub(super) fn the_wait_for_a_connection_takes_no_time_from_a_try(server: &Server) {
        let proxy = Proxy::before(server.port());
        let url = server.new_url_through(proxy.port());
        let patient = Store::builder(format!("{url}&connections=1")).timeout(Duration::from_secs(60));
        let store = patient.open().expect("a store opens");
        // What the store keeps of a type is written with its first object.
        store.run(|| increment("first")).expect("increments");
        let (begun, connections) = (slow_writes(server, &url), proxy.connections());
        on_threads(4, |thread| {
            store.run(|| increment(thread.to_string())).expect("increments");
        });
        // A try that is cut short takes its connection with it.
        assert_eq!((begun(), proxy.connections()), (4, connections));
    }

    pub(super) fn what_nobody_waits_for_any_more_is_not_sent(server: &Server) {
        let url = server.new_url();
        let engine = engine_at(&format!("{url}&connections=1")).expect("a store opens");
        let begun = slow_writes(server, &url);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| pollster::block_on(commit(&*engine, &put("first"))));
            while begun() == 0 {
                std::thread::yield_now();
            }
            assert!(commit(&*engine, &put("given up")).now_or_never().is_none(), "there is no connection for it");
            pollster::block_on(commit(&*engine, &put("last"))).expect("it is made");
            first.join().expect("no panic").expect("it is made");
        });
        assert_eq!(begun(), 2);
    }

    pub(super) fn a_role_that_may_not_make_tables_opens_a_store_that_is_there(server: &Server) {
        let url = server.new_url();
        open(&url).run(|| increment("n")).expect("increments");
        let (_, url) = role_of(server, &url);
        assert_eq!(open(&url).run(|| increment("n")).expect("increments"), 2);
    }
}
