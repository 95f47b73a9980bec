//! Two accessors would have one name.

use metaparticle::persistent;

#[persistent]
struct Page {
    title: String,
    set_title: String,
}

fn main() {}
