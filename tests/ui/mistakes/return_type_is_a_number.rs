//! A transactional function returns a `Result`.

use metaparticle::{persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) -> u64 {
    page.count += 1;
    page.count
}

fn main() {}
