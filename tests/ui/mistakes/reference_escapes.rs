//! A reference into an object cannot leave its transaction.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    title: String,
}

#[transactional]
fn title(page: &mut Visits) -> Result<&str> {
    Ok(&page.title)
}

fn main() {}
