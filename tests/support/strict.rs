//! Public items under strict lints, which hold for what is generated, too.

#![deny(missing_docs, unused, unreachable_pub, rust_2018_idioms, clippy::pedantic, nonstandard_style)]

use metaparticle::{Mut, Ref, Result, persistent, transactional};

/// Counts.
#[persistent(default, key = u64)]
#[derive(Debug, Clone)]
pub struct Visits {
    /// How many.
    pub count: u64,
    /// Which.
    #[persistent(rename = "t", default)]
    pub title: String,
}

/// Counts one more.
///
/// # Errors
/// Those of the store.
#[transactional]
#[must_use = "it can fail"]
pub fn visit(page: &mut Visits) -> Result<u64> {
    page.count += 1;
    Ok(page.count)
}

/// Reads and writes.
///
/// # Errors
/// Those of the store.
#[transactional]
pub fn copy(from: Ref<Visits>, to: Mut<Visits>) -> Result<()> {
    to.set_title(from.title.clone());
    Ok(())
}

impl Visits {
    /// Resets it.
    ///
    /// # Errors
    /// Those of the store.
    #[transactional]
    pub fn reset(&mut self) -> Result<()> {
        self.count = 0;
        Ok(())
    }
}
