//! Public items under strict lints, which hold for what is generated, too.

#![deny(missing_docs, unused, unreachable_pub, rust_2018_idioms, unused_lifetimes, nonstandard_style)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery, clippy::impl_trait_in_params, clippy::shadow_unrelated)]

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

    /// Only signatures that clippy would have otherwise, were they not a transaction's.
    ///
    /// # Errors
    /// Those of the store.
    #[transactional]
    pub fn rename(&mut self, title: String, list: Vec<u64>, other: Ref<Self>, third: Option<Mut<Self>>) -> Result<()> {
        self.title.clone_from(&title);
        self.count = list.len() as u64 + other.count;
        if let Some(mut third) = third {
            third.set_count(2);
        }
        Ok(())
    }

    /// Reads only.
    ///
    /// # Errors
    /// Those of the store.
    #[transactional]
    pub fn read(&mut self) -> Result<u64> {
        Ok(self.count)
    }
}

/// Lifetimes that are the transaction's.
///
/// # Errors
/// Those of the store.
#[transactional]
pub fn sum<'a>(one: &'a mut Visits, two: &'a mut Visits, list: Vec<u64>) -> Result<u64> {
    Ok(one.count + two.count + list.iter().sum::<u64>())
}
