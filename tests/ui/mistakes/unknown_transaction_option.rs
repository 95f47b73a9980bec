//! There is no such option.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional(retries = 3)]
fn visit(page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {}
