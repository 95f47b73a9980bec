//! A reference into an object cannot leave its transaction.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn count<'a>(page: &'a mut Visits) -> Result<&'a u64> {
    Ok(&page.count)
}

fn main() {}
