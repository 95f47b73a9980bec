//! A closure that runs more than once cannot change what it has captured.

use metaparticle::{persistent, Result, Store};

#[persistent(default)]
struct Visits {
    count: u64,
}

fn count(store: &Store) -> Result<u64> {
    let mut times = 0;
    store.transaction(|tx| {
        times += 1;
        tx.get_mut::<Visits>("home")?.count += 1;
        Ok::<(), metaparticle::Error>(())
    })?;
    Ok(times)
}

fn main() {}
