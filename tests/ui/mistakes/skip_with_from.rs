//! A field that is not stored has no earlier form.

use metaparticle::persistent;

#[persistent]
struct User {
    #[persistent(skip, from = u16)]
    age: u32,
}

fn main() {}
