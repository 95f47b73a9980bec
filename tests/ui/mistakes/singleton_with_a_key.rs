//! A singleton has no key.

use metaparticle::persistent;

#[persistent(singleton, key = u64)]
struct Settings {
    theme: String,
}

fn main() {}
