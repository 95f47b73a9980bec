//! An absent object needs a default for each field.

use metaparticle::persistent;

#[derive(serde::Serialize, serde::Deserialize)]
struct Color;

#[persistent(default)]
struct Page {
    color: Color,
}

fn main() {}
