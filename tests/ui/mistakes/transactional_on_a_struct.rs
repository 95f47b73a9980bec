//! The two attributes are mixed up.

use metaparticle::transactional;

#[transactional]
struct Visits {
    count: u64,
}

fn main() {}
