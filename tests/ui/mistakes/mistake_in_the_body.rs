//! An error in the body points at the user's own line.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) -> Result<u64> {
    page.count += "one";
    Ok(page.count)
}

fn main() {}
