//! A transactional function uses a store.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
const fn visit(page: &mut Visits) -> Result<()> {
    Ok(())
}

fn main() {}
