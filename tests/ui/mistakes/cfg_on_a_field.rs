//! A field cannot come and go with `cfg`.

use metaparticle::persistent;

#[persistent]
struct Page {
    title: String,
    #[cfg(unix)]
    inode: u64,
}

fn main() {}
