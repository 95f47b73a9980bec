//! The process that looks at what the writer has left.

use metaparticle_tests::crash;

/// Opens a store and prints `OK n`, where n is the next number to write, or what is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Verifier {
    url: String,
    /// The first numbers must be there, so many.
    acknowledged: u64,
}

impl Verifier {
    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        match crash::verify(&self.url, self.acknowledged) {
            Ok(next) => println!("OK {next}"),
            Err(wrong) => println!("{wrong}"),
        }
        Ok(())
    }
}
