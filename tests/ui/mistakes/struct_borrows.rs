//! A persistent struct cannot borrow.

use metaparticle::persistent;

#[persistent]
struct Page<'a> {
    title: &'a str,
}

fn main() {}
