//! The attribute belongs on the struct.

use metaparticle::persistent;

struct Visits {
    count: u64,
}

#[persistent]
impl Visits {}

fn main() {}
