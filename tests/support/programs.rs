//! Several programs over one engine.

use std::sync::Arc;

use metaparticle::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp};
use metaparticle::{Store, conformance};

/// An engine in memory that several stores are opened on, each the store of another program.
#[derive(Clone)]
pub struct Shared(Arc<Box<dyn Engine>>);

impl Shared {
    /// One that is empty.
    pub fn in_memory() -> Self {
        Self(Arc::new(conformance::memory_engine()))
    }

    /// The store of a program that has just been started.
    pub fn program(&self) -> Store {
        Store::with_engine(self.clone())
    }
}

impl Engine for Shared {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        self.0.execute(request)
    }
    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        self.0.scan(compare, range, limit)
    }
    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        self.0.watch(compare)
    }
    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        self.0.durable(stamp)
    }
    fn limits(&self) -> Limits {
        self.0.limits()
    }
}
