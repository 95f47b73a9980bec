//! Which store a transactional function works on: the one entered last on this thread, or the process's default.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use smallvec::SmallVec;

use super::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::key::KeyFor;
use crate::persistent::Persistent;
use crate::sync::thread_local;
use crate::sync::unscheduled::RwLock;
use crate::transaction::{TransactionOptions, run};

static DEFAULT: RwLock<Option<Store>> = RwLock::new(None);

thread_local! {
    /// Stores entered on this thread, each with the number of its guard. Without a destructor, so that those of other thread locals can
    /// enter one.
    static ENTERED: RefCell<ManuallyDrop<Stores>> = const { RefCell::new(ManuallyDrop::new(Stores::new_const())) };
    static NEXT_GUARD: Cell<u64> = const { Cell::new(0) };
}

type Stores = SmallVec<[(u64, Rc<Store>); 2]>;

/// Opens a store and makes it the process's default, in place of any other.
///
/// It stays open until the process ends, or until another one takes its place. A normal exit waits for commits with
/// [`Durability::Eventual`](crate::Durability::Eventual) of the thread that exits; other threads call [`Store::flush`].
///
/// ```no_run
/// # use metaparticle::{persistent, transactional, Result};
/// # #[persistent(default)] struct Visits { count: u64 }
/// # #[transactional] fn visit(page: &mut Visits) -> Result<u64> { page.count += 1; Ok(page.count) }
/// fn main() -> Result<()> {
///     metaparticle::open("visits.db")?;
///     println!("{} visits", visit("home")?);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// As [`Store::open`]; the default stays what it was.
pub fn open(url: impl AsRef<str>) -> Result<Store> {
    let store = Store::open(url)?;
    let before = DEFAULT.write().replace(store.clone());
    // Dropped without the lock: closing a store waits for its disk.
    drop(before);
    Ok(store)
}

/// The store that transactional functions on this thread work on now.
pub(crate) fn current() -> Result<Rc<Store>> {
    if let Some(store) = ENTERED.with_borrow(|entered| entered.last().map(|(_, store)| store.clone())) {
        return Ok(store);
    }
    DEFAULT.read().clone().map(Rc::new).ok_or_else(|| {
        let message = "no store is open: call `metaparticle::open(\"my.db\")?` at the start of the program, or open one with \
                       `Store::open` and use it with `store.run(|| …)` or `store.enter()`";
        Error::new(ErrorKind::Setup, message)
    })
}

/// A store in place of the default one, until this is dropped.
#[derive(Debug)]
#[must_use = "the store is left again when this is dropped"]
pub struct Entered {
    guard: u64,
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    pub(super) fn new(store: Store) -> Self {
        let guard = NEXT_GUARD.replace(NEXT_GUARD.get() + 1);
        ENTERED.with_borrow_mut(|entered| entered.push((guard, Rc::new(store))));
        Self { guard, not_send: PhantomData }
    }
}

impl Drop for Entered {
    /// Guards may be dropped in any order: each takes its own store away.
    fn drop(&mut self) {
        let left = ENTERED.with_borrow_mut(|entered| {
            let index = entered.iter().position(|(guard, _)| *guard == self.guard)?;
            let left = entered.remove(index);
            if entered.is_empty() {
                // Nothing else gives up its room when the thread ends.
                **entered = Stores::new_const();
            }
            Some(left)
        });
        drop(left);
    }
}

/// See [`Store::scope`].
pub(super) struct Scope<F> {
    pub(super) store: Store,
    /// `None` once it is dropped.
    pub(super) future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { store, future } = &mut *self;
        let _entered = store.enter();
        future.as_mut().expect("it is not dropped").as_mut().poll(context)
    }
}

impl<F> Drop for Scope<F> {
    /// Destructors in the future are of the store, too.
    fn drop(&mut self) {
        let _entered = self.store.enter();
        self.future = None;
    }
}

/// Runs `body` on one object, as a transaction: what a `#[transactional]` function does, without the macro.
///
/// ```
/// # use metaparticle::{persistent, scoped, Result, Store};
/// #[persistent(default)]
/// struct Visits { count: u64 }
///
/// # let store = Store::open("memory:")?;
/// # let _entered = store.enter();
/// let count = scoped("home", |page: &mut Visits| {
///     page.count += 1;
///     metaparticle::Ok(page.count)
/// })?;
/// assert_eq!(count, 1);
/// # metaparticle::Ok(())
/// ```
///
/// # Errors
/// What `body` returns, and what a transaction can fail with.
pub fn scoped<T, R, E>(key: impl KeyFor<T>, body: impl Fn(&mut T) -> Result<R, E>) -> Result<R, E>
where
    T: Persistent,
    E: From<Error>,
{
    let store = current()?;
    let key = key.object_key();
    run(&store, TransactionOptions::new(), |tx| body(tx.load_tracked(&key)?.write_all()))
}
