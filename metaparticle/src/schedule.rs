//! What a build for the schedule campaign has beside the public API: engines whose disk is a model, so that a disk costs no time and
//! power can be cut between any two of its steps.

mod disk;

pub use self::disk::Disk;
use crate::engine::Engine;
use crate::engine::embedded::Embedded;

/// The engine `memory:`, to be put behind something else.
pub fn memory() -> impl Engine {
    Embedded::in_memory()
}
