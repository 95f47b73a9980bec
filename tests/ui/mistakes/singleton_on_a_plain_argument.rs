//! Only objects are singletons.

use metaparticle::{transactional, Result};

#[transactional]
fn add(#[singleton] n: u64) -> Result<u64> {
    Ok(n)
}

fn main() {}
