//! Two fields would be stored in one place.

use metaparticle::persistent;

#[persistent]
struct Page {
    title: String,
    #[persistent(rename = "title")]
    heading: String,
}

fn main() {}
