//! The function takes nothing, so there is nothing to migrate from.

use metaparticle::persistent;

fn zero() -> u32 {
    0
}

#[persistent]
struct User {
    #[persistent(migrate = zero)]
    age: u32,
}

fn main() {}
