//! The caller passes a text for a number.

use metaparticle::{persistent, transactional, Result};

#[persistent(default, key = u64)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

fn main() {
    let _ = visit("home");
}
