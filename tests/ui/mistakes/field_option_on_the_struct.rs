//! `skip` belongs on a field.

use metaparticle::persistent;

#[persistent(skip)]
struct Visits {
    count: u64,
}

fn main() {}
