//! Random numbers, from a generator of each thread's own that the system's randomness has seeded. (In a build for the schedule
//! campaign the schedule seeds it, so that whoever repeats the schedule has the same numbers.)

use std::cell::RefCell;
use std::time::Duration;

use fastrand::Rng;
#[cfg(metaparticle_schedule)]
pub(crate) use foldhash::fast::FixedState as HashState;
/// Hashes that nobody can foresee.
#[cfg(not(metaparticle_schedule))]
pub(crate) use foldhash::fast::RandomState as HashState;

use crate::sync::thread_local;

thread_local! {
    static RNG: RefCell<Rng> = RefCell::new(Rng::with_seed(first_seed()));
}

/// The standard library seeds its hashes with the system's randomness; `fastrand` seeds itself with less.
#[cfg(not(metaparticle_schedule))]
fn first_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}

#[cfg(metaparticle_schedule)]
fn first_seed() -> u64 {
    shuttle::rand::RngCore::next_u64(&mut shuttle::rand::thread_rng())
}

fn with<R>(draw: impl FnOnce(&mut Rng) -> R) -> R {
    RNG.with_borrow_mut(draw)
}

pub(crate) fn seed() -> u64 {
    with(|rng| rng.u64(..))
}

/// Names something that must not be named so again.
pub(crate) fn id() -> u128 {
    with(|rng| rng.u128(..))
}

/// A duration below `bound`.
pub(crate) fn below(bound: Duration) -> Duration {
    with(|rng| bound.mul_f64(rng.f64()))
}
