//! A handle does not outlive its transaction.

use metaparticle::{persistent, Result, Store};

#[persistent(default)]
struct Visits {
    count: u64,
}

fn escape(store: &Store) -> Result<()> {
    let page = store.transaction(|tx| tx.get::<Visits>("home"))?;
    drop(page);
    Ok(())
}

fn main() {}
