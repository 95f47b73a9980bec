//! An alias is taken.

use metaparticle::persistent;

#[persistent]
struct Page {
    title: String,
    #[persistent(alias = "title")]
    heading: String,
}

fn main() {}
