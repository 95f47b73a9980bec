//! A stored name is text.

use metaparticle::persistent;

#[persistent(name = visits)]
struct Visits {
    count: u64,
}

fn main() {}
