//! There is one transaction.

use metaparticle::{transactional, Result, Tx};

#[transactional]
fn clean(tx: &Tx, other: &Tx) -> Result<()> {
    drop((tx, other));
    Ok(())
}

fn main() {}
