//! Which decoded objects several transactions can read at once: those of types that are `Send` and `Sync`.
//!
//! Users need not say so. Where a type is known, the compiler looks for `sharing` in [`Shared`] first, and, if the type does
//! not fit there, in [`NotShared`]: an implementation for `&Probe` is found one step earlier than one for `Probe`.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// An object of any type that threads can share.
pub(crate) type AnyObject = Arc<dyn Any + Send + Sync>;

/// How objects of `T` are kept with their records.
pub struct Sharing<T> {
    keep: fn(Arc<T>) -> AnyObject,
    find: fn(AnyObject) -> Option<Arc<T>>,
}

impl<T> Sharing<T> {
    pub(crate) fn keep(&self, object: Arc<T>) -> AnyObject {
        (self.keep)(object)
    }

    /// The object, if it is one of `T`.
    pub(crate) fn find(&self, object: AnyObject) -> Option<Arc<T>> {
        (self.find)(object)
    }
}

impl<T> fmt::Debug for Sharing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sharing")
    }
}

/// Stands for a type when the compiler looks for `sharing`.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// One for `T`.
    #[expect(clippy::new_without_default, reason = "only expansions use it")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// Found for types that can be shared.
pub trait Shared<T> {
    /// How they are.
    fn sharing(&self) -> Option<Sharing<T>>;
}

impl<T: Send + Sync + 'static> Shared<T> for &Probe<T> {
    fn sharing(&self) -> Option<Sharing<T>> {
        Some(Sharing { keep: |object| object, find: |object| object.downcast().ok() })
    }
}

/// Found for all others.
pub trait NotShared<T> {
    /// They are not.
    fn sharing(&self) -> Option<Sharing<T>>;
}

impl<T> NotShared<T> for Probe<T> {
    fn sharing(&self) -> Option<Sharing<T>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    fn is_shared<T>(sharing: Option<Sharing<T>>) -> bool {
        sharing.is_some()
    }

    #[test]
    #[expect(clippy::needless_borrow, reason = "the borrows choose the trait")]
    fn only_what_threads_can_share_is_shared() {
        assert!(is_shared((&&Probe::<String>::new()).sharing()));
        assert!(!is_shared((&&Probe::<Cell<u64>>::new()).sharing()));
        assert!(!is_shared((&&Probe::<Rc<str>>::new()).sharing()));
    }
}
