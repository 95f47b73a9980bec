//! There is no such option; a similar one is meant.

use metaparticle::persistent;

#[persistent(defualt)]
struct Visits {
    count: u64,
}

fn main() {}
