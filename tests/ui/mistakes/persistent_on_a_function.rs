//! The two attributes are mixed up.

use metaparticle::persistent;

#[persistent]
fn visit() {}

fn main() {}
