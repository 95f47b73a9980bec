//! An argument by value is cloned for each attempt.

use metaparticle::{persistent, transactional, Result};

struct Token;

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits, token: Token) -> Result<()> {
    drop(token);
    page.count += 1;
    Ok(())
}

fn main() {}
