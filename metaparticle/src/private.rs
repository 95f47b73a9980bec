//! What expansions of the macros may name. Not for use by hand, and without any promise of stability.

pub use ::serde;
pub use std::string::String;

pub use crate::encoding::{
    FieldReader, FieldWriter, Storable, earlier_field, earlier_struct, load_with, load_with_or, shape_with, store_with,
};
pub use crate::key::{KeyFor, ObjectKey};
pub use crate::object::Tracked;
pub use crate::persistent::{Field, Handle, OldStruct, Singleton};
pub use crate::sharing::{NotShared, Probe, Shared, Sharing};
pub use crate::transaction::{Outcome, TransactionOptions as Options};

use std::rc::Rc;

use crate::Result;
use crate::object::Ref;
use crate::persistent::Persistent;
use crate::store::current;
use crate::transaction::{Attempt, KeysToLoad, Tx};

/// `T`, as the argument of another type.
pub type Itself<T> = T;

/// The key that a caller passed.
pub fn object_key<T: Persistent>(key: impl KeyFor<T>) -> ObjectKey<T> {
    key.object_key()
}

/// The key of the one object.
pub fn singleton_key<T: Singleton>() -> ObjectKey<T> {
    ObjectKey::singleton()
}

/// A key of any type of objects.
pub trait AnyKey {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn resolve(&self, attempt: &Attempt, keys: &mut KeysToLoad) -> Result<()>;
}

impl<T> AnyKey for ObjectKey<T> {
    #[allow(private_interfaces)]
    fn resolve(&self, attempt: &Attempt, keys: &mut KeysToLoad) -> Result<()> {
        keys.push(self.untyped().info(attempt)?, self.record_key());
        Ok(())
    }
}

/// Loads the objects of all parameters in one step.
pub fn prefetch(tx: &Tx, keys: &[&dyn AnyKey]) -> Result<()> {
    let attempt = tx.attempt_state();
    let mut wanted = attempt.room_for_keys();
    for key in keys {
        key.resolve(attempt, &mut wanted)?;
    }
    attempt.load_parameters(wanted)
}

/// For a parameter `&mut T`.
pub fn load_exclusive<'tx, T: Persistent>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Tracked<'tx, T>> {
    tx.attempt_state().load_parameter(key.untyped())?;
    tx.load_tracked(key)
}

/// For a parameter `Mut<T>`.
pub fn load_mut<'tx, T: Persistent>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<T::Mut<'tx>> {
    load_exclusive(tx, key).map(Handle::new)
}

/// For a parameter `Ref<T>`.
pub fn load_ref<'tx, T: Persistent>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Ref<'tx, T>> {
    tx.attempt_state().load_parameter(key.untyped())?;
    tx.load_ref(key)
}

/// For a parameter `Option<&mut T>`.
pub fn load_exclusive_if_present<'tx, T: Persistent>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Option<Tracked<'tx, T>>> {
    tx.if_present(key, || tx.load_tracked(key))
}

/// For a parameter `Option<Mut<T>>`.
pub fn load_mut_if_present<'tx, T: Persistent>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Option<T::Mut<'tx>>> {
    tx.if_present(key, || load_mut(tx, key))
}

/// For a parameter `Option<Ref<T>>`.
pub fn load_ref_if_present<'tx, T: Persistent>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Option<Ref<'tx, T>>> {
    tx.if_present(key, || tx.load_ref(key))
}

/// For a parameter that is passed through by value. Its name is what the compiler shows for an argument that is not `Clone`.
pub fn argument_is_cloned_for_each_attempt<A: Clone>(argument: &A) -> A {
    argument.clone()
}

/// Calls a body: `return` and temporaries in it are as in a function.
pub fn call<Out>(body: impl FnOnce() -> Out) -> Out {
    body()
}

/// Runs the body of a transactional function on the current store. `body` fails where an object could not be loaded.
pub fn run<Out: Outcome>(options: Options, body: impl Fn(&Tx) -> Result<Out>) -> Out {
    match current() {
        Ok(store) => crate::transaction::run(&store, options, |tx| body(tx).unwrap_or_else(Out::from_error)),
        Err(error) => Out::from_error(error),
    }
}

/// Runs the body of a transactional `async fn` on the current store of the task that polls it first.
pub async fn run_async<Out: Outcome>(options: Options, body: impl Fn(&Tx) -> Result<Out>) -> Out {
    match current().map(Rc::unwrap_or_clone) {
        Ok(store) => crate::transaction::run_async(store, options, |tx| body(tx).unwrap_or_else(Out::from_error)).await,
        Err(error) => Out::from_error(error),
    }
}
