//! The process that writes.

use std::io::Write;

use metaparticle::Store;
use metaparticle_tests::crash;

/// Writes numbers, and prints `ACK n` when number n is durable.
#[derive(Debug, clap::Args)]
pub(crate) struct Writer {
    url: String,
}

impl Writer {
    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let store = Store::open(&self.url)?;
        let _entered = store.enter();
        let mut out = std::io::stdout();
        for number in crash::next()?.. {
            crash::write(number)?;
            writeln!(out, "ACK {number}")?;
        }
        Ok(())
    }
}
