//! A transactional function returns a `Result`.

use metaparticle::{persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) {
    page.count += 1;
}

fn main() {}
