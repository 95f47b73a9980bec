//! A unit struct cannot be persistent.

use metaparticle::persistent;

#[persistent]
struct Marker;

fn main() {}
