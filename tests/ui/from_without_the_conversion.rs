//! The field's type cannot be made of the one that it had before.

use metaparticle::persistent;

#[persistent]
struct User {
    #[persistent(from = String)]
    age: u32,
}

fn main() {}
