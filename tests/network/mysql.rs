//! What is particular to MariaDB and MySQL: their settings, their tables, and locks that others hold.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use metaparticle::{ErrorKind, Store, Tx, persistent};
use metaparticle_tests::on_threads;
use metaparticle_tests::servers::mariadb::{client, sql};
use metaparticle_tests::servers::{Server, is_there};

use crate::{count, increment, open, server};

#[persistent(key = u64)]
struct Blob {
    bytes: Vec<u8>,
}

fn table_of(url: &str) -> &str {
    url.rsplit_once('=').expect("an option").1
}

/// Makes tests of functions, each of which is given the server that tests share.
macro_rules! on_the_shared_server {
    ($($name:ident)*) => {
        $(#[test] fn $name() {
            if is_there("mysql", stringify!($name)) { tests::$name(server("mysql")); }
        })*
    };
}

on_the_shared_server! {
    a_table_that_is_not_transactional_is_refused
    objects_added_next_to_each_other_are_all_there
    ids_of_old_commits_are_forgotten
    more_old_ids_than_one_try_can_forget_are_forgotten_soon
    a_lock_that_somebody_else_holds_for_long_is_waited_for
    large_and_small_records_are_written_together
    many_objects_are_compared_at_once
}

mod tests {
    use super::*;

    pub(super) fn a_table_that_is_not_transactional_is_refused(server: &Server) {
        let url = server.new_url();
        open(&url).run(|| increment("n")).expect("increments");
        sql(server, &format!("ALTER TABLE {} ENGINE = Aria", table_of(&url)));
        let error = Store::open(&url).expect_err("it has no transactions");
        assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("kept by Aria"), "{error:?}");
    }

    pub(super) fn objects_added_next_to_each_other_are_all_there(server: &Server) {
        let store = open(&server.new_url());
        on_threads(8, |thread| {
            for n in 0..25 {
                assert_eq!(store.run(|| increment(format!("{n} {thread}"))).expect("increments"), 1);
            }
        });
        let keys = |tx: &Tx| tx.keys::<crate::Counter>(..).count();
        assert_eq!(store.transaction(|tx| metaparticle::Ok(keys(tx))).expect("counts"), 200);
    }

    pub(super) fn ids_of_old_commits_are_forgotten(server: &Server) {
        let url = server.new_url();
        let store = open(&url);
        for _ in 0..600 {
            store.run(|| increment("n")).expect("increments");
        }
        let ids = format!("{}_commits", table_of(&url));
        let number = || sql(server, &format!("SELECT COUNT(*) FROM {ids}"));
        assert!(number().parse::<u32>().expect("a number") >= 600);
        sql(server, &format!("UPDATE {ids} SET made = made - 3700"));
        store.run(|| increment("n")).expect("increments");
        open(&url);
        assert_eq!(number(), "1");
    }

    pub(super) fn more_old_ids_than_one_try_can_forget_are_forgotten_soon(server: &Server) {
        let url = server.new_url();
        drop(open(&url));
        let ids = format!("{}_commits", table_of(&url));
        let old = "SELECT UNHEX(LPAD(HEX(seq), 32, '0')), 1, UNIX_TIMESTAMP() - 7200 FROM seq_1_to_800";
        sql(server, &format!("INSERT INTO {ids} (id, applied, made) {old}"));
        sql(server, &format!("CREATE TRIGGER slow_{ids} BEFORE DELETE ON {ids} FOR EACH ROW DO SLEEP(0.01)"));
        let store = open(&url);
        store.run(|| increment("n")).expect("increments");
        let number = |of: &str| sql(server, &format!("SELECT COUNT(*) FROM {ids} WHERE {of}"));
        let begin = Instant::now();
        while number("made < UNIX_TIMESTAMP() - 3600") != "0" {
            assert!(begin.elapsed() < Duration::from_secs(60), "there are still {}", number("TRUE"));
        }
        assert_ne!(number("TRUE"), "0", "those that are not old have gone, too");
    }

    pub(super) fn a_lock_that_somebody_else_holds_for_long_is_waited_for(server: &Server) {
        let url = server.new_url();
        let store = Store::builder(&url).timeout(Duration::from_secs(25)).open().expect("a store opens");
        store.run(|| increment("n")).expect("increments");
        let table = table_of(&url);
        let hold = format!("START TRANSACTION; SELECT 'held' FROM {table} FOR UPDATE; SELECT SLEEP(4); COMMIT");
        let mut holder = client(server, &hold).stdout(Stdio::piped()).spawn().expect("the client runs");
        holder.stdout.as_mut().expect("its output").read_exact(&mut [0; 4]).expect("it has the lock");
        assert_eq!(store.run(|| increment("n")).expect("it waits"), 2);
        assert!(holder.wait().expect("it ends").success());
    }

    pub(super) fn large_and_small_records_are_written_together(server: &Server) {
        let store = open(&server.new_url());
        let length = |key: u64| if key.is_multiple_of(3) { 100_000 + key as usize * 50_000 } else { key as usize };
        for round in 0..2u8 {
            let write = |tx: &Tx| (0..20).try_for_each(|key| tx.insert(key, Blob { bytes: vec![round; length(key)] }));
            store.transaction(write).expect("writes");
            for key in 0..20 {
                let read = store.transaction(|tx| metaparticle::Ok(tx.get::<Blob>(key)?.bytes.clone())).expect("reads");
                assert!(read == vec![round; length(key)], "{key} is not as it was written");
            }
        }
    }

    /// So many that they are sent in several messages, as long as the keys are.
    pub(super) fn many_objects_are_compared_at_once(server: &Server) {
        let store = open(&server.new_url());
        let key = |n: u64| format!("{n:0500}");
        for start in (0..1000).step_by(100) {
            let write = |tx: &Tx| (start..start + 100).try_for_each(|n| tx.insert(key(n), crate::Counter { n }));
            store.transaction(write).expect("writes");
        }
        let sum = |tx: &Tx| {
            let mut sum = 0;
            for entry in tx.range::<crate::Counter>(..) {
                sum += entry?.1.n;
            }
            tx.insert("sum", crate::Counter { n: sum })?;
            metaparticle::Ok(sum)
        };
        assert_eq!(store.transaction(sum).expect("sums"), 499_500);
    }
}

/// A server of its own, whose settings a test can change.
fn own_server(test: &str) -> Option<Server> {
    is_there("mysql", test).then(|| {
        let server = Server::start("mysql");
        // It may not be ready yet; opening a store waits for that.
        drop(open(&server.new_url()));
        server
    })
}

/// As administrators set them for other programs.
#[test]
fn a_session_does_not_depend_on_the_settings_of_the_server() {
    let Some(server) = own_server("a_session_does_not_depend_on_the_settings_of_the_server") else { return };
    sql(
        &server,
        "SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,ORACLE', autocommit = 0, \
         sql_select_limit = 1, tx_isolation = 'READ-UNCOMMITTED', tx_read_only = 1, completion_type = 2, sql_safe_updates = 1, \
         time_zone = '+05:00', innodb_lock_wait_timeout = 1000",
    );
    let snapshot_isolation = client(&server, "SET GLOBAL innodb_snapshot_isolation = ON").output();
    assert!(snapshot_isolation.is_ok(), "some versions do not know it");
    let url = server.new_url();
    let store = open(&url);
    on_threads(4, |thread| {
        for _ in 0..25 {
            store.run(|| increment("n")).expect("increments");
            store.run(|| increment(format!("{thread}"))).expect("increments");
        }
    });
    let keys = |tx: &Tx| tx.keys::<crate::Counter>(..).count();
    assert_eq!(store.transaction(|tx| metaparticle::Ok(keys(tx))).expect("counts"), 5);
    assert_eq!(open(&url).run(|| count("n")).expect("counts"), 100);
}

#[test]
fn what_the_server_takes_at_once_limits_objects() {
    let Some(server) = own_server("what_the_server_takes_at_once_limits_objects") else { return };
    sql(&server, "SET GLOBAL max_allowed_packet = 2097152");
    let store = open(&server.new_url());
    let write = |length| store.transaction(|tx| tx.insert(7, Blob { bytes: vec![7; length] }));
    write(2_000_000).expect("it fits");
    let error = write(2_090_000).expect_err("it does not fit");
    assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("Blob"), "{error:?}");
    let read = store.transaction(|tx| metaparticle::Ok(tx.get::<Blob>(7)?.bytes.len()));
    assert_eq!(read.expect("it is there"), 2_000_000);
    sql(&server, "SET GLOBAL max_allowed_packet = 65536");
    let error = Store::open(server.new_url()).expect_err("it takes too little");
    assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("`max_allowed_packet` is 65536"), "{error:?}");
}

#[test]
fn a_server_that_takes_no_writes_is_waited_for() {
    let Some(server) = own_server("a_server_that_takes_no_writes_is_waited_for") else { return };
    // Administrators may write all the same.
    sql(&server, "CREATE USER other IDENTIFIED BY 'secret'; GRANT ALL ON tests.* TO other");
    let url = server.new_url().replace("tests:", "other:");
    let store = open(&url);
    store.run(|| increment("n")).expect("increments");
    sql(&server, "SET GLOBAL read_only = 1");
    let hasty = Store::builder(&url).timeout(Duration::from_secs(2)).open().expect("the tables are there");
    assert_eq!(hasty.run(|| count("n")).expect("reads"), 1);
    // What was on its way just then may be made.
    let error = hasty.run(|| increment("n")).expect_err("it takes no writes");
    assert!(error.is_indeterminate(), "{error:?}");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| store.run(|| increment("n")));
        sql(&server, "SET GLOBAL read_only = 0");
        let reached = waits.join().expect("no panic").expect("increments");
        assert!((2..=3).contains(&reached), "{reached}");
    });
}
