//! Opening stores, without making one where there is none.

use metaparticle::inspect::{self, Inspector};
use metaparticle::{Durability, Store};

use crate::failure::Failure;

/// Everything is read once and in order, so that keeping more at hand gains nothing.
const CACHE_BYTES: u64 = 16 << 20;

fn given(url: Option<&str>) -> Result<&str, Failure> {
    let url = url.filter(|url| !url.is_empty());
    url.ok_or_else(|| Failure::usage("which store? Write --store URL, or set METAPARTICLE_STORE"))
}

/// A store that is there.
pub(crate) fn existing(url: Option<&str>) -> Result<Inspector, Failure> {
    let url = given(url)?;
    if !inspect::exists(url) {
        return Err(Failure::not_found(format!("there is no store at {}", inspect::shown(url))));
    }
    open(url)
}

/// A store that is there, or a new one.
pub(crate) fn or_new(url: Option<&str>) -> Result<Inspector, Failure> {
    open(given(url)?)
}

fn open(url: &str) -> Result<Inspector, Failure> {
    let store = Store::builder(url).durability(Durability::Eventual).cache_bytes(CACHE_BYTES).open()?;
    Ok(Inspector::new(&store))
}
