//! The store: opens an engine and runs transactions on it. The one door.

mod builder;
mod current;
mod exit;
mod stats;

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::builder::Settings;
pub use self::builder::StoreBuilder;
use self::current::Scope;
pub(crate) use self::current::current;
pub use self::current::{Entered, open, scoped};
use self::stats::Counters;
pub use self::stats::Stats;
use crate::clock::Clock;
use crate::engine::{Answer, CommitId, Engine, RecordKey, Reply, Request, Seen, Stamp, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};
use crate::random;
use crate::schema::Types;
use crate::sync::block_on;
use crate::transaction::{Groups, Habits, HotKeys, Log, TransactionOptions, Tx, run, run_async};

/// What a program opens, and runs transactions on.
///
/// It is cheap to clone and can be shared between threads: put it into the state of a web framework, or make it the process's
/// default with [`metaparticle::open`](crate::open). When the last clone is dropped, everything committed is on disk.
///
/// | URL | engine |
/// |---|---|
/// | `path`, `sled:path` | records in a folder, for one process at a time (feature `sled`, on by default) |
/// | `fjall:path` | the same, in fjall's files (feature `fjall`) |
/// | `memory:` | records in memory, for tests; each opening is a store of its own |
/// | `postgres://user:password@host/database` | records in PostgreSQL, for several processes (feature `postgres`) |
/// | `mysql://user:password@host/database`, `mariadb://…` | records in MariaDB or MySQL, for several processes (feature `mysql`) |
/// | `etcd://user:password@host,host2`, `etcds://…` | records in an etcd cluster, for several processes (feature `etcd`) |
/// | `redis://user:password@host`, `rediss://…` | records in Redis or Valkey, for several processes (feature `redis`) |
///
/// A path may hold a colon if what is before it is not a word: `./a:b`, or `sled:a:b`.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Box<dyn Engine>,
    url: String,
    settings: Settings,
    clock: Arc<dyn Clock>,
    types: Types,
    hot_keys: Arc<HotKeys>,
    groups: Groups,
    habits: Habits,
    counters: Counters,
}

impl Store {
    /// Opens the store at a path or URL.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) if the URL cannot be used, or the folder is not a store;
    /// [`InUse`](ErrorKind::InUse) if it is open already, here or in another process; [`Corrupt`](ErrorKind::Corrupt) if it is damaged;
    /// [`Incompatible`](ErrorKind::Incompatible) if a newer version of this library has written it;
    /// [`Engine`](ErrorKind::Engine) if the disk fails; [`Timeout`](ErrorKind::Timeout) if a server does not answer.
    ///
    /// ```
    /// # use metaparticle::{persistent, scoped, Result, Store};
    /// #[persistent(default)]
    /// struct Visits { count: u64 }
    ///
    /// # fn main() -> Result<()> {
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("visits.db");
    /// # let path = path.to_str().expect("a path");
    /// let store = Store::open(path)?;
    /// let count = store.run(|| {
    ///     scoped("home", |page: &mut Visits| {
    ///         page.count += 1;
    ///         metaparticle::Ok(page.count)
    ///     })
    /// })?;
    /// assert_eq!(count, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(url: impl AsRef<str>) -> Result<Self> {
        Self::builder(url).open()
    }

    /// A builder, to set durability, retry policy, cache size and clock before opening.
    pub fn builder(url: impl AsRef<str>) -> StoreBuilder {
        StoreBuilder::new(url.as_ref())
    }

    /// A store on an engine of another crate's making.
    pub fn with_engine(engine: impl Engine) -> Self {
        StoreBuilder::new("an engine of its own").build(Box::new(engine))
    }

    fn new(engine: Box<dyn Engine>, url: String, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            engine,
            url,
            settings,
            types: Types::default(),
            hot_keys: Arc::new(HotKeys::new(clock.clone())),
            clock,
            groups: Groups::default(),
            habits: Habits::default(),
            counters: Counters::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Runs `body` as a transaction: again after a conflict, and joined to the transaction that is running on this thread, if
    /// one is. The same as a `#[transactional]` function that takes `tx: &Tx`.
    ///
    /// ```
    /// # use metaparticle::{persistent, Result, Store};
    /// # #[persistent(default)] struct Visits { count: u64 }
    /// let store = Store::open("memory:")?;
    /// let count = store.transaction(|tx| {
    ///     let mut home = tx.get_mut::<Visits>("home")?;
    ///     home.count += 1;
    ///     metaparticle::Ok(home.count)
    /// })?;
    /// assert_eq!(count, 1);
    /// # metaparticle::Ok(())
    /// ```
    ///
    /// # Errors
    /// Those of the body; [`Conflict`](ErrorKind::Conflict) and [`Timeout`](ErrorKind::Timeout) if it did not come to its end;
    /// [`Indeterminate`](ErrorKind::Indeterminate) if it is not known whether it was committed, or whether that lasts;
    /// [`Limit`](ErrorKind::Limit) if it changes more than the engine takes; those of the engine.
    ///
    /// # Panics
    /// If the body panics; nothing was written then. If an effect of [`Tx::after_commit`] does; all was written then.
    pub fn transaction<R, E: From<Error>>(&self, body: impl Fn(&Tx) -> Result<R, E>) -> Result<R, E> {
        run(&Rc::new(self.clone()), TransactionOptions::new(), body)
    }

    /// As [`transaction`](Store::transaction), with options.
    ///
    /// # Errors
    /// As there; [`ReadOnly`](ErrorKind::ReadOnly) if it was not to change anything.
    pub fn transaction_with<R, E: From<Error>>(
        &self,
        options: TransactionOptions,
        body: impl Fn(&Tx) -> Result<R, E>,
    ) -> Result<R, E> {
        run(&Rc::new(self.clone()), options, body)
    }

    /// As [`transaction`](Store::transaction), for async code: the same as a `#[transactional]` function that is an `async fn`.
    ///
    /// The body does not wait for anything itself. Where the engine has to be waited for, the body is ended, and run again once the
    /// engine has answered; that is the same attempt. It works on any executor, and does not block its thread to wait; records in a folder
    /// are read in place. A future that is dropped
    /// before its commit was sent leaves no trace; one that is dropped later may have committed.
    ///
    /// ```
    /// # use metaparticle::{persistent, Result, Store};
    /// # #[persistent(default)] struct Visits { count: u64 }
    /// # async fn visit(store: &Store) -> Result<u64> {
    /// store
    ///     .transaction_async(|tx| {
    ///         let mut home = tx.get_mut::<Visits>("home")?;
    ///         home.count += 1;
    ///         Ok(home.count)
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`transaction`](Store::transaction), and its panics.
    pub fn transaction_async<R, E: From<Error>, Body: Fn(&Tx) -> Result<R, E>>(
        &self,
        body: Body,
    ) -> impl Future<Output = Result<R, E>> + use<R, E, Body> {
        run_async(self.clone(), TransactionOptions::new(), body)
    }

    /// As [`transaction_async`](Store::transaction_async), with options.
    ///
    /// # Errors
    /// As [`transaction_with`](Store::transaction_with).
    pub fn transaction_async_with<R, E: From<Error>, Body: Fn(&Tx) -> Result<R, E>>(
        &self,
        options: TransactionOptions,
        body: Body,
    ) -> impl Future<Output = Result<R, E>> + use<R, E, Body> {
        run_async(self.clone(), options, body)
    }

    /// Calls `f` with this store in place of the default one, on this thread.
    ///
    /// ```
    /// # use metaparticle::{persistent, transactional, Result, Store};
    /// # #[persistent(default)] struct Visits { count: u64 }
    /// # #[transactional] fn visit(page: &mut Visits) -> Result<u64> { page.count += 1; Ok(page.count) }
    /// # fn main() -> Result<()> {
    /// let (one, other) = (Store::open("memory:")?, Store::open("memory:")?);
    /// assert_eq!(one.run(|| visit("home"))?, 1);
    /// assert_eq!(one.run(|| visit("home"))?, 2);
    /// assert_eq!(other.run(|| visit("home"))?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        f()
    }

    /// Uses this store in place of the default one, on this thread, until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered::new(self.clone())
    }

    /// Uses this store in place of the default one while `future` runs, on whatever thread that is.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Scope { store: self.clone(), future: Some(Box::pin(future)) }
    }

    /// Waits until everything committed so far, also with [`Durability::Eventual`](crate::Durability::Eventual), survives a
    /// power cut; at most for the store's timeout.
    ///
    /// # Errors
    /// The engine's, if it has failed; [`Timeout`](ErrorKind::Timeout) if the disk did not confirm in time.
    pub fn flush(&self) -> Result<()> {
        let engine = self.engine();
        let waiter = self.waiter(self.clock().now().saturating_add(self.settings().retry.timeout));
        let reply = waiter.wait(engine.execute(waiter.request()))?;
        if planted(Bug::FlushWithoutWaiting) {
            return Ok(());
        }
        waiter.wait(engine.durable(reply.stamp))
    }

    /// What has happened since the store was opened.
    pub fn stats(&self) -> Stats {
        self.inner.counters.snapshot()
    }

    /// What about the engine's settings keeps less than is promised, in sentences; empty if nothing is known to. For example,
    /// a Redis server may not write each commit to its disk. Look at it once, after opening.
    pub fn warnings(&self) -> Vec<String> {
        self.engine().warnings()
    }

    /// The path or URL that it was opened with; a server's without user, password and options.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Whether both are clones of one store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    #[inline]
    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.inner.engine
    }

    #[inline]
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    #[inline]
    pub(crate) fn types(&self) -> &Types {
        &self.inner.types
    }

    pub(crate) fn hot_keys(&self) -> &Arc<HotKeys> {
        &self.inner.hot_keys
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    pub(crate) fn habits(&self) -> &Habits {
        &self.inner.habits
    }

    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    #[inline]
    pub(crate) fn waiter(&self, deadline: Duration) -> Waiter<'_> {
        Waiter { clock: self.clock(), deadline, log: None }
    }

    /// Has a normal exit of this thread or process wait until `stamp` is durable.
    pub(crate) fn flush_at_exit(&self, stamp: Stamp) {
        exit::remember(&self.inner, stamp);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// Waits for an engine's answers: on this thread, up to a deadline; or, for an attempt in a future, with its log.
pub(crate) struct Waiter<'a> {
    clock: &'a dyn Clock,
    deadline: Duration,
    log: Option<&'a Log>,
}

impl<'a> Waiter<'a> {
    /// The same, for an attempt that cannot wait on this thread.
    pub(crate) fn with_log(self, log: Option<&'a Log>) -> Self {
        Self { log, ..self }
    }

    pub(crate) fn wait<T>(&self, answer: Answer<'_, T>) -> Result<T> {
        match answer {
            Answer::Ready(result) => result,
            Answer::Later(future) => self.wait_for(future).unwrap_or_else(|| Err(unanswered())),
            // Nothing has been handed over before the future is polled.
            Answer::Committing(_) if self.clock.now() >= self.deadline => Err(unanswered()),
            Answer::Committing(future) => self.wait_for(future).unwrap_or_else(|| Err(unconfirmed_commit())),
        }
    }

    /// A minitransaction that has nothing to do with what the attempt reads.
    pub(crate) fn alone(&self, engine: &dyn Engine, compare: &Seen, read: &[RecordKey], write: &[Write]) -> Result<Reply> {
        match self.log {
            Some(log) => log.alone(engine, compare, read, write),
            None => self.wait(engine.execute(Request { compare, read, write, id: CommitId(random::id()), ..self.request() })),
        }
    }

    pub(crate) fn wait_for<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        block_on(future, self.clock, Some(self.deadline))
    }

    /// A request that asks for nothing, to fill in. One that writes needs an id.
    pub(crate) fn request(&self) -> Request<'static> {
        Request { compare: Seen::NOTHING, read: &[], write: &[], id: CommitId(0), durability: crate::Durability::Eventual }
    }
}

fn unanswered() -> Error {
    Error::new(ErrorKind::Timeout, "the engine did not answer before the deadline")
}

/// The error of a commit that was handed over, and not answered in time.
pub(crate) fn unconfirmed_commit() -> Error {
    let message = "the engine did not confirm the commit before the deadline; it is not known whether it will last";
    Error::new(ErrorKind::Indeterminate, message)
}
