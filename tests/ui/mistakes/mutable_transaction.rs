//! The transaction is used through `&`.

use metaparticle::{transactional, Result, Tx};

#[transactional]
fn clean(tx: &mut Tx) -> Result<()> {
    drop(tx);
    Ok(())
}

fn main() {}
