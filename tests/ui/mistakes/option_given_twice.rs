//! An option is given twice.

use metaparticle::persistent;

#[persistent(name = "a", name = "b")]
struct Visits {
    count: u64,
}

fn main() {}
