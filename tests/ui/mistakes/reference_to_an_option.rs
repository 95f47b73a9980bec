//! An absent object is an `Option<&mut T>`.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Option<Visits>) -> Result<()> {
    drop(page);
    Ok(())
}

fn main() {}
