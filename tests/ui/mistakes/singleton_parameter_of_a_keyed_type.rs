//! Only a singleton has no key.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(#[singleton] page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {}
