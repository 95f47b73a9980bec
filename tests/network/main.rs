//! What happens when answers are lost, requests come late, and servers die: on each engine behind a network.

mod cluster;
mod encrypted;
mod etcd;
mod faults;
mod mysql;
mod postgres;
mod redis;
mod setup;
mod standby;
mod waiting;

use metaparticle::{Result, Store, persistent, transactional};
use metaparticle_tests::servers::{self, Server};

/// A number, by text.
#[persistent(default)]
pub(crate) struct Counter {
    n: u64,
}

#[transactional]
pub(crate) fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

/// With two objects it reads before it commits, each time.
#[transactional]
pub(crate) fn increment_after(counter: &mut Counter, other: metaparticle::Ref<Counter>) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n + other.n)
}

#[transactional]
pub(crate) fn count(counter: metaparticle::Ref<Counter>) -> Result<u64> {
    Ok(counter.n)
}

/// The server that tests share; whether it is there was checked before.
pub(crate) fn server(engine: &str) -> &'static Server {
    servers::shared(engine).expect("the server is there")
}

pub(crate) fn open(url: &str) -> Store {
    Store::open(url).expect("a store opens")
}
