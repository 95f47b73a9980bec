//! The earlier struct is not persistent, so its stored form is not known.

use metaparticle::persistent;

struct OldUser {
    age: u32,
}

impl From<OldUser> for User {
    fn from(old: OldUser) -> Self {
        Self { age: old.age }
    }
}

#[persistent(from = OldUser)]
struct User {
    age: u32,
}

fn main() {}
