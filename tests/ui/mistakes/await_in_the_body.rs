//! A body does not wait; also not that of an `async fn`.

use metaparticle::{persistent, transactional, Result};

async fn fetch() -> u64 {
    1
}

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
async fn visit(page: &mut Visits) -> Result<()> {
    page.count = fetch().await;
    Ok(())
}

fn main() {}
