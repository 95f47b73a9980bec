//! The field's type cannot be made of the one that it had before.

use metaparticle::persistent;

#[derive(serde::Serialize, serde::Deserialize)]
struct Years(u32);

#[persistent]
struct User {
    #[persistent(from = String)]
    age: Years,
}

fn main() {}
