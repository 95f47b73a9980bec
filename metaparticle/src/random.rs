//! Random numbers, from a generator of each thread's own that the system's randomness has seeded.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use fastrand::Rng;

thread_local! {
    // The standard library seeds its hashes with the system's randomness; `fastrand` seeds itself with less.
    static RNG: RefCell<Rng> = RefCell::new(Rng::with_seed(RandomState::new().hash_one(0)));
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
