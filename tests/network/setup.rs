//! Opening stores on servers, and what is said when that cannot be.

use std::time::{Duration, Instant};

use metaparticle::{ErrorKind, Store};
use metaparticle_tests::servers::{free_port, is_there};

use crate::{count, increment, open, server};

/// What an opening takes at least that does not look at its timeout while it tries for the first time.
const ONE_TRY: Duration = Duration::from_secs(5);

metaparticle_tests::on_every_server! {
    two_stores_on_one_server_see_each_other
    stores_of_different_names_do_not_see_each_other
    it_works_on_a_thread_of_an_executor
    a_server_that_is_away_is_an_error_that_names_it
    a_url_is_shown_without_its_password
    a_timeout_may_be_for_ever
}

fn a_timeout_may_be_for_ever(engine: &str) {
    let store = Store::builder(server(engine).new_url()).timeout(Duration::MAX).open().expect("a store opens");
    assert_eq!(store.run(|| increment("n")).expect("increments"), 1);
}

fn two_stores_on_one_server_see_each_other(engine: &str) {
    let url = server(engine).new_url();
    let (one, other) = (open(&url), open(&url));
    for n in 0..10 {
        assert_eq!(one.run(|| increment("n")).expect("increments"), 2 * n + 1);
        assert_eq!(other.run(|| increment("n")).expect("increments"), 2 * n + 2);
    }
}

fn stores_of_different_names_do_not_see_each_other(engine: &str) {
    let (one, other) = (open(&server(engine).new_url()), open(&server(engine).new_url()));
    one.run(|| increment("n")).expect("increments");
    assert_eq!(other.run(|| count("n")).expect("counts"), 0);
}

fn it_works_on_a_thread_of_an_executor(engine: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let store = open(&server(engine).new_url());
        assert_eq!(store.run(|| increment("n")).expect("increments"), 1);
    });
}

fn a_server_that_is_away_is_an_error_that_names_it(engine: &str) {
    let path = if engine == "etcd" { "" } else { "0" };
    let port = free_port();
    let builder = Store::builder(format!("{engine}://me:secret@127.0.0.1:{port}/{path}")).timeout(Duration::from_millis(300));
    let begin = Instant::now();
    let error = builder.open().expect_err("nobody is there");
    assert!(begin.elapsed() < ONE_TRY, "it took {:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

fn a_url_is_shown_without_its_password(engine: &str) {
    let plain = server(engine).new_url();
    let (scheme, rest) = plain.split_once("://").expect("a URL");
    let url = format!("{scheme}://tests:sec@ret/@{}", rest.trim_start_matches("tests:secret@"));
    assert!(url.contains(":sec@ret/@127.0.0.1"), "{url}");
    let store = open(&server(engine).new_url());
    assert!(!store.url().contains('?') && !store.url().contains("secret"), "{}", store.url());
    assert!(!format!("{:?}", Store::builder(url)).contains("sec"));
}

/// Opens the table of commits as a store.
fn a_table_that_is_not_ours_is_left_alone(engine: &str) {
    let url = server(engine).new_url();
    let store = open(&url);
    let error = Store::open(format!("{url}_commits")).expect_err("it is not a store");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error:?}");
    assert!(error.to_string().contains("_commits` is not a metaparticle store"), "{error:?}");
    assert_eq!(store.run(|| increment("n")).expect("it is as it was"), 1);
}

#[test]
fn tables_that_are_not_ours_are_left_alone() {
    for engine in ["mysql", "postgres"] {
        if is_there(engine, "tables_that_are_not_ours_are_left_alone") {
            a_table_that_is_not_ours_is_left_alone(engine);
        }
    }
}

#[test]
fn mysql_settings_that_lose_data_are_warned_of() {
    if is_there("mysql", "mysql_settings_that_lose_data_are_warned_of") {
        // The tests' server is one of those.
        let warnings = open(&server("mysql").new_url()).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("innodb_flush_log_at_trx_commit"), "{warnings:?}");
    }
}

#[test]
fn postgres_settings_that_lose_data_are_warned_of() {
    if is_there("postgres", "postgres_settings_that_lose_data_are_warned_of") {
        // The tests' server is one of those.
        let warnings = open(&server("postgres").new_url()).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("fsync"), "{warnings:?}");
    }
}
