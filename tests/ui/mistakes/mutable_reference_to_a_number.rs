//! A body cannot change what is not persistent.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits, times: &mut u64) -> Result<()> {
    page.count += 1;
    *times += 1;
    Ok(())
}

fn main() {}
