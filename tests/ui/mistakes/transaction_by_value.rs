//! The transaction is lent.

use metaparticle::{transactional, Result, Tx};

#[transactional]
fn clean(tx: Tx) -> Result<()> {
    drop(tx);
    Ok(())
}

fn main() {}
