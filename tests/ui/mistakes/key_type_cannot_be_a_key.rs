//! A float is not ordered, so it is no key.

use metaparticle::persistent;

#[persistent(key = f64)]
struct Visits {
    count: u64,
}

fn main() {}
