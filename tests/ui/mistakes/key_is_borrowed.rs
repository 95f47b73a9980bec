//! A key is owned.

use metaparticle::persistent;

#[persistent(key = &str)]
struct Visits {
    count: u64,
}

fn main() {}
