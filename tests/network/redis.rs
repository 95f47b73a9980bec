//! What is particular to Redis: its keys, its settings, and scripts of others.

use metaparticle::{ErrorKind, Store};
use metaparticle_tests::servers::{Server, is_there};

use crate::cluster::is_done;
use crate::{open, server};

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
