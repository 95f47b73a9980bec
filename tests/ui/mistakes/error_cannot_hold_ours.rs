//! The error type has no `From<metaparticle::Error>`.

use metaparticle::{persistent, transactional};

struct Refused;

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) -> Result<u64, Refused> {
    page.count += 1;
    Ok(page.count)
}

fn main() {}
