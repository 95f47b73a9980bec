//! What is particular to Redis: its keys, its settings, and scripts of others.

use std::time::Duration;

use metaparticle::{ErrorKind, Store};
use metaparticle_tests::servers::{Server, is_there};

use crate::cluster::{is_done, tell};
use crate::{count, increment, open, server};

#[test]
fn keys_that_are_not_ours_are_left_alone() {
    if !is_there("redis", "keys_that_are_not_ours_are_left_alone") {
        return;
    }
    let url = server("redis").new_url();
    let prefix = url.rsplit_once('=').expect("an option").1;
    drop(open(&url));
    is_done(server("redis"), &format!("SET {{{prefix}}}:format theirs"));
    let error = Store::open(&url).expect_err("it is not a store");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error:?}");
}

#[test]
fn redis_settings_that_lose_data_are_warned_of_or_refused() {
    if !is_there("redis", "redis_settings_that_lose_data_are_warned_of_or_refused") {
        return;
    }
    let server = Server::start("redis");
    let url = server.new_url();
    assert!(open(&url).warnings().is_empty(), "{:?}", open(&url).warnings());
    is_done(&server, "CONFIG SET appendfsync everysec");
    assert!(open(&url).warnings()[0].contains("everysec"), "{:?}", open(&url).warnings());
    is_done(&server, "CONFIG SET appendonly no");
    assert!(open(&url).warnings()[0].contains("appendonly no"), "{:?}", open(&url).warnings());
    is_done(&server, "CONFIG SET maxmemory-policy allkeys-lru");
    is_done(&server, "CONFIG SET maxmemory 100mb");
    let error = Store::open(&url).expect_err("it drops data");
    assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("noeviction"), "{error:?}");
}

#[test]
fn redis_that_drops_data_is_refused_or_warned_of_also_where_it_says_little() {
    if !is_there("redis", "redis_that_drops_data_is_refused_or_warned_of_also_where_it_says_little") {
        return;
    }
    let server = Server::start("redis");
    let url = server.new_url().replace("redis://", "redis://other:secret@");
    is_done(&server, "ACL SETUSER other on >secret ~* &* +@all -config");
    let says_something = |warnings: Vec<String>| warnings.len() == 1 && warnings[0].contains("CONFIG GET");
    assert!(says_something(open(&url).warnings()), "{:?}", open(&url).warnings());
    is_done(&server, "CONFIG SET maxmemory-policy allkeys-lru");
    is_done(&server, "CONFIG SET maxmemory 100mb");
    let error = Store::open(&url).expect_err("it drops data");
    assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("noeviction"), "{error:?}");
    is_done(&server, "ACL SETUSER other -info");
    let warnings = open(&url).warnings();
    assert!(warnings.iter().any(|warning| warning.contains("drops data")), "{warnings:?}");
}

#[test]
fn a_script_of_somebody_else_that_runs_for_long_is_waited_for() {
    if !is_there("redis", "a_script_of_somebody_else_that_runs_for_long_is_waited_for") {
        return;
    }
    let server = Server::start("redis");
    let url = server.new_url();
    let (store, hasty) = (open(&url), Store::builder(&url).timeout(Duration::from_secs(1)).open().expect("a store opens"));
    store.run(|| increment("n")).expect("increments");
    is_done(&server, "CONFIG SET lua-time-limit 1");
    std::thread::scope(|scope| {
        scope.spawn(|| tell(&server, "EVAL \"while true do end\" 0"));
        while !tell(&server, "PING").starts_with("-BUSY") {
            std::thread::yield_now();
        }
        let busy = hasty.run(|| count("n"));
        let waits = scope.spawn(|| store.run(|| increment("n")));
        is_done(&server, "SCRIPT KILL");
        // Only now, because the script would never end.
        let error = busy.expect_err("it is busy");
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(waits.join().expect("no panic").expect("increments"), 2);
    });
}
