//! An enum cannot be persistent.

use metaparticle::persistent;

#[persistent]
enum Color {
    Red,
    Green,
}

fn main() {}
