//! When a commit is reported as done.

/// When a transactional function returns: after its changes are safe, or earlier.
///
/// ```
/// use metaparticle::{Durability, Store};
/// let store = Store::builder("memory:").durability(Durability::Eventual).open()?;
/// # Ok::<(), metaparticle::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// What the function wrote, and what it read, survives a power cut. Concurrent commits share one flush.
    #[default]
    Immediate,
    /// The function returns as soon as other transactions see its changes. A crash may lose the last commits, at most those of
    /// the store's [flush interval](crate::StoreBuilder::flush_interval) and the time that the disk takes; never one from the middle, and
    /// at a normal exit none of the thread that ends the program.
    Eventual,
}
