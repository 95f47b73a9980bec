//! A persistent struct cannot borrow.

use metaparticle::persistent;

#[persistent]
struct Page {
    title: &str,
}

fn main() {}
