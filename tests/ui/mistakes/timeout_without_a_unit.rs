//! A time has a unit.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional(timeout = "10")]
fn visit(page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {}
