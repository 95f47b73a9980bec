//! Handles are passed by value.

use metaparticle::{persistent, transactional, Ref, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &Ref<Visits>) -> Result<u64> {
    Ok(page.count)
}

fn main() {}
