//! There is at least one attempt.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional(attempts = 0)]
fn visit(page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {}
