//! What is skipped has no stored name.

use metaparticle::persistent;

#[persistent]
struct Page {
    #[persistent(skip, rename = "t")]
    title: String,
}

fn main() {}
