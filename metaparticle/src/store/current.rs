//! Which store a transactional function works on: the one entered last on this thread, or the process's default.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;

use super::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::key::KeyFor;
use crate::persistent::Persistent;
use crate::sync::thread_local;
use crate::sync::unscheduled::RwLock;
use crate::transaction::{TransactionOptions, run};

static DEFAULT: RwLock<Option<Store>> = RwLock::new(None);

thread_local! {
    /// Stores entered on this thread, each with the number of its guard.
    static ENTERED: RefCell<Vec<(u64, Rc<Store>)>> = const { RefCell::new(Vec::new()) };
    static NEXT_GUARD: Cell<u64> = const { Cell::new(0) };
}

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
    // In the destructor of another thread local, none is entered any more.
    if let Ok(Some(store)) = ENTERED.try_with(|entered| entered.borrow().last().map(|(_, store)| store.clone())) {
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
        let left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let index = entered.iter().position(|(guard, _)| *guard == self.guard)?;
            Some(entered.remove(index))
        });
        drop(left);
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
