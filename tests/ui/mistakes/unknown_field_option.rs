//! There is no such option.

use metaparticle::persistent;

#[persistent]
struct Visits {
    #[persistent(index)]
    count: u64,
}

fn main() {}
