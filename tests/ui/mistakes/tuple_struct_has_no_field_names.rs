//! A tuple struct cannot be persistent.

use metaparticle::persistent;

#[persistent]
struct Point(u64, u64);

fn main() {}
