//! A field's type does not implement serde's traits.

use metaparticle::persistent;

struct Color;

#[persistent]
struct Page {
    color: Color,
}

fn main() {}
