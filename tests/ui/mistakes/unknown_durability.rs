//! There are two kinds of durability.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional(durability = soon)]
fn visit(page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {}
