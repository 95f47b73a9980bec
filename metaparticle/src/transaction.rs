//! The transaction as its body meets it.

mod attempt;
mod commit;
mod conflict;
mod fixed;
mod gate;
mod group;
mod habits;
mod hot_keys;
mod keys;
mod lend;
mod log;
mod look;
mod nested;
mod options;
mod outcome;
mod pace;
mod places;
mod run;
mod run_async;
mod scan;
mod shared;
mod spare;
mod wait;

use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

pub(crate) use self::attempt::Attempt;
#[cfg(feature = "inspect")]
pub(crate) use self::commit::commit_is_open;
pub(crate) use self::group::Groups;
pub(crate) use self::habits::Habits;
pub(crate) use self::hot_keys::HotKeys;
pub(crate) use self::keys::Keys as KeysToLoad;
pub(crate) use self::lend::Taken;
pub(crate) use self::log::Log;
pub(crate) use self::look::{Found, Part};
pub use self::options::{RetryPolicy, TransactionOptions};
pub use self::outcome::Outcome;
pub(crate) use self::run::run;
pub(crate) use self::run_async::run_async;
pub use self::scan::{Keys, Range};

use crate::Result;
use crate::key::{IntoRange, KeyFor, ObjectKey, key_range};
use crate::object::{Ref, Tracked};
use crate::persistent::{Handle, Persistent};

/// A running transaction, for keys that are known only at run time.
///
/// A body receives it as `tx: &Tx`, or as the argument of [`Store::transaction`](crate::Store::transaction). Everything that it
/// reads was current together, at any moment; everything that it changes is committed at once when the outermost body has
/// returned `Ok`, or not at all. A body may run more than once, so it must have no effects outside of the transaction; see
/// [`after_commit`](Tx::after_commit).
///
/// ```
/// # use metaparticle::{persistent, transactional, Result, Store, Tx};
/// #[persistent(default)]
/// struct Account { balance: u64 }
///
/// /// Moves all that `from` has to the others, in equal parts.
/// #[transactional]
/// fn share_out(tx: &Tx, from: &str, others: &[&str]) -> Result<u64> {
///     let mut giver = tx.get_mut::<Account>(from)?;
///     let part = giver.balance / others.len() as u64;
///     for other in others {
///         tx.get_mut::<Account>(*other)?.balance += part;
///         giver.balance -= part;
///     }
///     Ok(part)
/// }
/// # fn main() -> Result<()> {
/// # let store = Store::open("memory:")?;
/// # let _entered = store.enter();
/// store.transaction(|tx| tx.insert::<Account>("ann", Account { balance: 7 }))?;
/// assert_eq!(share_out("ann", &["ben", "cleo"])?, 3);
/// # store.transaction(|tx| { assert_eq!(tx.get::<Account>("ann")?.balance, 1); metaparticle::Ok(()) })?;
/// # Ok(())
/// # }
/// ```
pub struct Tx {
    attempt: Rc<Attempt>,
}

/// What [`Tx::get`] and [`Tx::get_mut`] are asked for: `T`, or `Option<T>` where the object may be absent.
pub trait Target {
    /// The persistent struct.
    type Object: Persistent;
    /// What `get` gives.
    type Ref<'tx>;
    /// What `get_mut` gives.
    type Mut<'tx>;
    #[doc(hidden)]
    fn get<'tx>(tx: &'tx Tx, key: &ObjectKey<Self::Object>) -> Result<Self::Ref<'tx>>;
    #[doc(hidden)]
    fn get_mut<'tx>(tx: &'tx Tx, key: &ObjectKey<Self::Object>) -> Result<Self::Mut<'tx>>;
}

impl<T: Persistent> Target for T {
    type Object = T;
    type Ref<'tx> = Ref<'tx, T>;
    type Mut<'tx> = T::Mut<'tx>;
    fn get<'tx>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Ref<'tx, T>> {
        tx.load_ref(key)
    }
    fn get_mut<'tx>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<T::Mut<'tx>> {
        tx.load_tracked(key).map(Handle::new)
    }
}

impl<T: Persistent> Target for Option<T> {
    type Object = T;
    type Ref<'tx> = Option<Ref<'tx, T>>;
    type Mut<'tx> = Option<T::Mut<'tx>>;
    fn get<'tx>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Option<Ref<'tx, T>>> {
        tx.if_present(key, || tx.load_ref(key))
    }
    fn get_mut<'tx>(tx: &'tx Tx, key: &ObjectKey<T>) -> Result<Option<T::Mut<'tx>>> {
        tx.if_present(key, || tx.load_tracked(key).map(Handle::new))
    }
}

impl Tx {
    pub(crate) fn new(attempt: Rc<Attempt>) -> Self {
        Self { attempt }
    }

    pub(crate) fn attempt_state(&self) -> &Rc<Attempt> {
        &self.attempt
    }

    /// The object of type `T` with this key, for reading. `tx.get::<Option<T>>(key)` gives `None` where there is none.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none and `T` is not `#[persistent(default)]`;
    /// [`Borrowed`](crate::ErrorKind::Borrowed) while it is borrowed for writing;
    /// [`Incompatible`](crate::ErrorKind::Incompatible) or [`Corrupt`](crate::ErrorKind::Corrupt) if its record cannot be read;
    /// those of [`contains`](Tx::contains).
    pub fn get<T: Target>(&self, key: impl KeyFor<T::Object>) -> Result<T::Ref<'_>> {
        T::get(self, &key.object_key())
    }

    /// The object of type `T` with this key, for reading and writing, with the generated accessors. What has changed when the
    /// handle is dropped becomes part of the transaction. `tx.get_mut::<Option<T>>(key)` gives `None` where there is none.
    ///
    /// # Errors
    /// As [`get`](Tx::get); [`Borrowed`](crate::ErrorKind::Borrowed) while it is borrowed in any way.
    pub fn get_mut<T: Target>(&self, key: impl KeyFor<T::Object>) -> Result<T::Mut<'_>> {
        T::get_mut(self, &key.object_key())
    }

    /// Stores `object` under this key, in place of what was there. Fields of what was there that this program does not know, but
    /// a newer one does, are kept, unless it was removed before.
    ///
    /// # Errors
    /// [`Borrowed`](crate::ErrorKind::Borrowed) while the object of this key is borrowed;
    /// [`Incompatible`](crate::ErrorKind::Incompatible) or [`Corrupt`](crate::ErrorKind::Corrupt) if what was there cannot be read,
    /// and so must not be overwritten (it can be [removed](Tx::remove), where it is not the engine that finds it damaged);
    /// [`Encoding`](crate::ErrorKind::Encoding) if a field cannot be stored; those of [`contains`](Tx::contains).
    pub fn insert<T: Persistent>(&self, key: impl KeyFor<T>, object: T) -> Result<()> {
        self.attempt.insert(&key.object_key(), &object)
    }

    /// Removes the object; tells whether there was one.
    ///
    /// # Errors
    /// [`Borrowed`](crate::ErrorKind::Borrowed) while the object is borrowed; those of [`contains`](Tx::contains).
    pub fn remove<T: Persistent>(&self, key: impl KeyFor<T>) -> Result<bool> {
        self.attempt.remove(key.object_key().untyped())
    }

    /// Whether there is an object of type `T` with this key. A change of its fields by others is no conflict at the commit; like every
    /// other change, it ends the attempt where more is read afterwards.
    ///
    /// # Errors
    /// Those of the engine, such as [`Limit`](crate::ErrorKind::Limit) for a key that is too long; `Conflict` in an attempt that has to be
    /// run again.
    pub fn contains<T: Persistent>(&self, key: impl KeyFor<T>) -> Result<bool> {
        self.attempt.contains(key.object_key().untyped())
    }

    /// The keys of all objects of type `T` in `range`, in order, read a page at a time. Objects that come into being or go in
    /// the part of the range that was read are a conflict; changes of their fields are not. What the body itself removes on the
    /// way is left out; what it inserts on the way may be met or not.
    ///
    /// ```
    /// # use metaparticle::{persistent, Result, Store};
    /// # #[persistent(default, key = u64)] struct Job { done: bool }
    /// # let store = Store::open("memory:")?;
    /// store.transaction(|tx| {
    ///     for id in [30, 7, 200] {
    ///         tx.insert(id, Job { done: false })?;
    ///     }
    ///     let keys: Result<Vec<u64>> = tx.keys::<Job>(10..).collect();
    ///     assert_eq!(keys?, [30, 200]);
    ///     metaparticle::Ok(())
    /// })?;
    /// # metaparticle::Ok(())
    /// ```
    ///
    /// # Errors
    /// Its items: those of [`contains`](Tx::contains), after which there are no more.
    pub fn keys<T: Persistent>(&self, range: impl IntoRange<T::Key>) -> Keys<'_, T> {
        Keys::new(self, key_range::<T>(range))
    }

    /// The objects of type `T` whose keys are in `range`, with their keys and in their order, read a page at a time. Objects
    /// that come into being, go, or change in the part of the range that was read are a conflict. What the body itself removes
    /// on the way is left out; what it inserts on the way may be met or not.
    ///
    /// ```
    /// # use metaparticle::{persistent, Result, Store};
    /// # #[persistent] struct Account { balance: u64 }
    /// # let store = Store::open("memory:")?;
    /// # store.transaction(|tx| { tx.insert("a", Account { balance: 1 })?; tx.insert("b", Account { balance: 2 }) })?;
    /// let total = store.transaction(|tx| {
    ///     let mut total = 0;
    ///     for entry in tx.range::<Account>(..) {
    ///         let (_key, account) = entry?;
    ///         total += account.balance;
    ///     }
    ///     metaparticle::Ok(total)
    /// })?;
    /// assert_eq!(total, 3);
    /// # metaparticle::Ok(())
    /// ```
    ///
    /// # Errors
    /// Its items: as [`keys`](Tx::keys), and those of [`get`](Tx::get) for one object, after which it goes on.
    pub fn range<T: Persistent>(&self, range: impl IntoRange<T::Key>) -> Range<'_, T> {
        Range::new(self, key_range::<T>(range))
    }

    /// Goes on if `condition` is true. Otherwise the attempt ends: pass the error on with `?`. The transaction sleeps until
    /// something that it has read is changed by others, and then runs the whole of the outermost body again.
    ///
    /// What an attempt has changed before it waits is not written, and cannot be committed by swallowing the error either.
    /// Nobody is held up meanwhile: neither those who change what it has read, nor, in an `async fn`, the thread. A wait is no
    /// conflict, and is not counted as one of the transaction's attempts; but it is a part of its time, so give a transaction
    /// that waits long the `timeout` that it needs.
    ///
    /// # Errors
    /// What the body gets while the condition is not true: an error that its caller never sees.
    /// What the caller gets: [`Timeout`](crate::ErrorKind::Timeout) if the condition did not come true before the deadline, with
    /// the names of the objects that it waited for; [`Setup`](crate::ErrorKind::Setup) if nothing was read before, so that no
    /// change could ever make it true; those of the engine.
    ///
    /// ```
    /// # use metaparticle::{persistent, transactional, Result, Store, Tx};
    /// #[persistent(default)]
    /// struct Queue { jobs: Vec<String> }
    ///
    /// #[transactional]
    /// fn add(queue: &mut Queue, job: &str) -> Result<()> {
    ///     queue.jobs.push(job.to_owned());
    ///     Ok(())
    /// }
    ///
    /// /// Takes the oldest job, and waits for one if there is none.
    /// #[transactional]
    /// fn take(tx: &Tx, queue: &mut Queue) -> Result<String> {
    ///     tx.wait_until(!queue.jobs.is_empty())?;
    ///     Ok(queue.jobs.remove(0))
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let store = Store::open("memory:")?;
    /// std::thread::scope(|scope| {
    ///     let taken = scope.spawn(|| store.run(|| take("mail")));
    ///     store.run(|| add("mail", "to ann"))?;
    ///     assert_eq!(taken.join().expect("no panic")?, "to ann");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn wait_until(&self, condition: bool) -> Result<()> {
        self.attempt.wait_until(condition)
    }

    /// The time of day at which the transaction began; the same in every attempt.
    pub fn now(&self) -> SystemTime {
        self.attempt.now()
    }

    /// A random number. The first call gives the same number in every attempt, and so does the second …, so that a re-run
    /// repeats itself. Not for secrets.
    pub fn random(&self) -> u64 {
        self.attempt.random()
    }

    /// Which attempt this is, from 1. One that [waits](Tx::wait_until) is not counted.
    pub fn attempt(&self) -> u32 {
        self.attempt.number()
    }

    /// Calls `effect` once, after the transaction's changes are durable and before the outermost function returns; never, if
    /// the transaction fails, or if the nested function that asked for it is undone. A process that is killed in between has
    /// not called it.
    ///
    /// With [`Durability::Eventual`](crate::Durability::Eventual), a transaction that uses this waits for the disk.
    pub fn after_commit(&self, effect: impl FnOnce() + Send + 'static) {
        self.attempt.after_commit(Box::new(effect));
    }
}

impl Tx {
    pub(crate) fn load_ref<T: Persistent>(&self, key: &ObjectKey<T>) -> Result<Ref<'_, T>> {
        self.attempt.share(key)
    }

    pub(crate) fn load_tracked<T: Persistent>(&self, key: &ObjectKey<T>) -> Result<Tracked<'_, T>> {
        self.attempt.lend(key)
    }

    pub(crate) fn if_present<T: Persistent, R>(&self, key: &ObjectKey<T>, load: impl FnOnce() -> Result<R>) -> Result<Option<R>> {
        if self.attempt.contains(key.untyped())? { load().map(Some) } else { Ok(None) }
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("attempt", &self.attempt()).finish_non_exhaustive()
    }
}
