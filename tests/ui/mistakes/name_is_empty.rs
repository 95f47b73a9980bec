//! A stored name is not empty.

use metaparticle::persistent;

#[persistent(name = "")]
struct Visits {
    count: u64,
}

fn main() {}
