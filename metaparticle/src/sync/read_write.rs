//! A lock for many readers or one writer.

use std::sync::PoisonError;
#[cfg(not(metaparticle_schedule))]
use std::sync::{self, RwLockReadGuard, RwLockWriteGuard};

#[cfg(metaparticle_schedule)]
use shuttle::sync::{self, RwLockReadGuard, RwLockWriteGuard};

/// The standard library's lock, or shuttle's in its place, which, like all others here, can be taken after a panic of somebody who had it.
///
/// Not the one of `parking_lot`, where whoever waits first yields its processor some times. With more threads than processors, those that
/// it is yielded to mostly wait for the lock as well, and the one that has it does not come to run: up to two hundred thousand changes
/// of threads a second, where there are some two thousand with this one.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_of_whoever_has_it_does_not_keep_others_out() {
        let mut lock = RwLock::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut value = lock.write();
            *value = 2;
            panic!("with the lock held");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.read(), 2);
        *lock.write() = 3;
        assert_eq!(*lock.get_mut(), 3);
    }
}
