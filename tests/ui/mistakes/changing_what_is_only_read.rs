//! A `Ref` is for reading.

use metaparticle::{persistent, transactional, Ref, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: Ref<Visits>) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {}
