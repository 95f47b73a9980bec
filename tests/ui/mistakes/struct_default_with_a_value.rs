//! A path belongs on the field.

use metaparticle::persistent;

#[persistent(default = zero)]
struct Visits {
    count: u64,
}

fn main() {}
