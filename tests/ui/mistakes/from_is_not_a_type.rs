//! `from` without a type.

use metaparticle::persistent;

#[persistent]
struct User {
    #[persistent(from = "not a type!")]
    age: u32,
}

fn main() {}
