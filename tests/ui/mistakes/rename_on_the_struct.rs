//! The stored name of a struct is its `name`.

use metaparticle::persistent;

#[persistent(rename = "visits")]
struct Visits {
    count: u64,
}

fn main() {}
