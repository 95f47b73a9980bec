//! Only persistent objects can be loaded.

use metaparticle::{transactional, Ref, Result};

struct Basket {
    items: u64,
}

#[transactional]
fn look(basket: Ref<Basket>) -> Result<u64> {
    Ok(basket.items)
}

fn main() {}
