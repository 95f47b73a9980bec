//! A union cannot be persistent.

use metaparticle::persistent;

#[persistent]
union Bits {
    n: u64,
}

fn main() {}
