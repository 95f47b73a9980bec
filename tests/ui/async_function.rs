//! Async functions are not there yet.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
async fn visit(page: &mut Visits) -> Result<()> {
    page.count += 1;
    Ok(())
}

async fn caller() -> Result<()> {
    visit("home").await
}

fn main() {
    drop(caller());
}
