//! `key` belongs on the struct.

use metaparticle::persistent;

#[persistent]
struct Visits {
    #[persistent(key = u64)]
    count: u64,
}

fn main() {}
