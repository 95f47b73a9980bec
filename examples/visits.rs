//! A number that survives restarts: the smallest program.
//!
//! `cargo run -p metaparticle-examples --example visits` prints `1 visits`, and `2 visits` when it is run again. There is no
//! client, no get and set, and no retry loop: the struct is persistent, the function is a transaction, and its body is plain
//! Rust. The data is in `visits.db`, a folder in the current one; remove it to begin again.

use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) -> Result<u64> {
    page.count += 1;
    Ok(page.count)
}

fn main() -> Result<()> {
    metaparticle::open("visits.db")?;
    println!("{} visits", visit("home")?);
    Ok(())
}
