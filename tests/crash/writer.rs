//! Writes numbers until it is killed: `crash-writer MODE PATH COUNT [FIRST]`, where MODE is `immediate` or `eventual`.
//!
//! Prints `ACK n` once number n is written and, with `immediate`, durable. FIRST is only what the caller believes: it goes on
//! where the store says.

use std::io::Write;

use metaparticle::{Durability, Store};
use metaparticle_tests::crash;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (mode, path, count) = (&*arguments[1], &arguments[2], arguments[3].parse::<u64>()?);
    let durability = if mode == "eventual" { Durability::Eventual } else { Durability::Immediate };
    let store = Store::open(path)?;
    let mut out = std::io::stdout();
    for _ in 0..count {
        let number = crash::write(&store, 0, 1, durability)?;
        writeln!(out, "ACK {number}")?;
        out.flush()?;
    }
    Ok(())
}
