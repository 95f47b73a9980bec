//! A body cannot change what is not persistent.

use metaparticle::{transactional, Result};

struct Basket {
    items: u64,
}

#[transactional]
fn add(basket: &mut Basket) -> Result<()> {
    basket.items += 1;
    Ok(())
}

fn main() {}
