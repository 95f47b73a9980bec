//! The process that looks at what is left, and goes on with it.

use std::ops::RangeInclusive;

use metaparticle::{Durability, Store};
use metaparticle_tests::crash::{self, Wrong};

use super::say_wrong;
use crate::child::Traced;

/// Looks whether a store is as it must be, and writes a number of each thread.
#[derive(Debug, clap::Args)]
pub(crate) struct Verifier {
    url: String,
    /// Where each thread's next number must be: the least and the most.
    #[arg(value_parser = bounds)]
    bounds: Vec<RangeInclusive<u64>>,
    #[command(flatten)]
    traced: Traced,
}

fn bounds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let bounds = text.split_once("..=").and_then(|(least, most)| Some(least.parse().ok()?..=most.parse().ok()?));
    bounds.ok_or_else(|| format!("`{text}` is no range"))
}

impl Verifier {
    /// The arguments that have a child be one.
    pub(crate) fn arguments(url: &str, bounds: &[RangeInclusive<u64>]) -> Vec<String> {
        let bounds = bounds.iter().map(|bounds| format!("{bounds:?}"));
        ["verifier".to_owned(), url.to_owned()].into_iter().chain(bounds).collect()
    }

    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        self.traced.begin()?;
        match Store::open(&self.url) {
            Ok(store) => self.verify(store),
            Err(error) => say_wrong("unopenable", &format!("{error:?}")),
        }
        Ok(())
    }

    fn verify(&self, store: Store) {
        match crash::verify(&store, &self.bounds) {
            Ok(next) => println!("FOUND {}", next.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")),
            Err(Wrong { kind, what }) => return say_wrong(kind, &what),
        }
        let threads = self.bounds.len() as u64;
        for thread in 0..threads {
            match crash::write(&store, thread, threads, Durability::Immediate) {
                Ok(number) => println!("ACK {thread} {number}"),
                Err(error) => return say_wrong("failed", &format!("{error:?}")),
            }
        }
        drop(store);
        println!("OK");
    }
}
