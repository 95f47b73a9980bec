//! The loop: run the body, commit, and after a conflict run it again.

use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use smallvec::SmallVec;

use super::Tx;
use super::attempt::{Attempt, Doom, Effect};
use super::commit::Committed;
use super::conflict::{Conflict, Fresh, insists};
use super::fixed::Fixed;
use super::hot_keys::{HotList, Turn};
use super::nested::Nested;
use super::options::{RetryPolicy, TransactionOptions};
use super::outcome::Outcome;
use super::wait::{Wait, late_after_wait};
use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::store::Store;
use crate::sync::thread_local;

type Attempts = SmallVec<[Rc<Attempt>; 4]>;

thread_local! {
    /// The attempts that are running on this thread, the innermost last: at most one for each store. Empty when the thread ends, and not
    /// dropped then, so that the destructor of another thread local may run a transaction.
    static RUNNING: RefCell<ManuallyDrop<Attempts>> = const { RefCell::new(ManuallyDrop::new(Attempts::new_const())) };
}

/// What a transaction runs. All but this is compiled once, and not for each type of what bodies return.
trait Body {
    /// Runs it, and keeps what it returns; whether that is a success.
    fn run(&mut self, tx: &Tx) -> bool;
    /// Drops what it has returned.
    fn forget(&mut self);
}

/// A body, and what it has returned last.
struct Kept<F, Out> {
    body: F,
    out: Option<Out>,
}

impl<F: Fn(&Tx) -> Out, Out: Outcome> Body for Kept<F, Out> {
    fn run(&mut self, tx: &Tx) -> bool {
        self.out.insert((self.body)(tx)).is_success()
    }

    fn forget(&mut self) {
        self.out = None;
    }
}

impl<F: Fn(&Tx) -> Out, Out: Outcome> Kept<F, Out> {
    fn new(body: F) -> Self {
        Self { body, out: None }
    }

    /// What it has returned, unless that is not to be told.
    fn outcome(self, told: Result<()>) -> Out {
        match told {
            Ok(()) => self.out.expect("it has run"),
            Err(error) => Out::from_error(error),
        }
    }
}

/// Runs `body` as a transaction of `store`, or as part of the one that is running.
pub(crate) fn run<Out: Outcome>(store: &Rc<Store>, options: TransactionOptions, body: impl Fn(&Tx) -> Out) -> Out {
    let mut body = Kept::new(body);
    let told = run_any(store, options, &mut body);
    body.outcome(told)
}

fn run_any(store: &Rc<Store>, options: TransactionOptions, body: &mut dyn Body) -> Result<()> {
    match running(store) {
        Some(attempt) => run_any_nested(attempt, options, body),
        None => Transaction::new(store, options).run(store, body),
    }
}

/// The attempt of this store that is running on this thread.
pub(super) fn running(store: &Store) -> Option<Rc<Attempt>> {
    RUNNING.with_borrow(|running| running.iter().rfind(|attempt| attempt.store().is(store)).cloned())
}

/// Joins a running transaction. An error undoes only what `body` did.
pub(super) fn run_nested<Out: Outcome>(attempt: Rc<Attempt>, options: TransactionOptions, body: impl Fn(&Tx) -> Out) -> Out {
    let mut body = Kept::new(body);
    let told = run_any_nested(attempt, options, &mut body);
    body.outcome(told)
}

fn run_any_nested(attempt: Rc<Attempt>, options: TransactionOptions, body: &mut dyn Body) -> Result<()> {
    attempt.check()?;
    let nested = Nested::new(&attempt);
    if !body.run(&Tx::new(attempt.clone())) {
        return Ok(());
    }
    if options.read_only && nested.has_changes() {
        body.forget();
        let message = format!("`{}` is read-only, and has changed an object", options.name.unwrap_or("a transaction"));
        return Err(Error::new(ErrorKind::ReadOnly, message));
    }
    nested.keep();
    Ok(())
}

/// A transaction: one or more attempts.
pub(super) struct Transaction<'a> {
    pub(super) store: &'a Store,
    retry: RetryPolicy,
    pub(super) fixed: Fixed,
    /// What the last attempts had conflicts on, to queue for.
    pub(super) hot: HotList,
    pub(super) last_conflict: Option<Conflict>,
    /// After which attempt it has waited last, and for a change of what.
    pub(super) last_wait: Option<(u32, String)>,
}

/// What comes after an attempt.
pub(super) enum Next<Out> {
    Return(Out),
    Fail(Error),
    RunAgain(Conflict),
    /// Its body waits for a condition.
    Wait(Wait),
}

/// Nothing is held any more, and no attempt is running, so that whatever the engine keeps no longer can go.
impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.store.engine().let_go();
        }
    }
}

impl Next<()> {
    /// The same, where the body has returned `out`.
    pub(super) fn with<Out>(self, out: Out) -> Next<Out> {
        match self {
            Self::Return(()) => Next::Return(out),
            Self::Fail(error) => Next::Fail(error),
            Self::RunAgain(conflict) => Next::RunAgain(conflict),
            Self::Wait(wait) => Next::Wait(wait),
        }
    }
}

impl<Out> Next<Out> {
    /// Whether the caller is told anything of what was read.
    pub(super) fn tells(&self) -> bool {
        match self {
            Self::Return(_) => true,
            Self::Fail(error) => !error.is_timeout(),
            Self::RunAgain(_) | Self::Wait(_) => false,
        }
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(store: &'a Store, options: TransactionOptions) -> Self {
        let settings = store.settings();
        let mut retry = settings.retry;
        retry.attempts = options.attempts.or(retry.attempts);
        retry.timeout = options.timeout.unwrap_or(retry.timeout);
        let began = store.clock().now();
        let fixed = Fixed {
            name: options.name.unwrap_or("a transaction"),
            began,
            now: None,
            seed: random::seed(),
            deadline: began.saturating_add(retry.timeout),
            timeout: retry.timeout,
            durability: options.durability.unwrap_or(settings.durability),
            read_only: options.read_only,
        };
        Self { store, retry, fixed, hot: HotList::new(), last_conflict: None, last_wait: None }
    }

    fn run(mut self, store: &Rc<Store>, body: &mut dyn Body) -> Result<()> {
        let mut number = 1;
        let (mut turn, mut fresh) = (None, None);
        loop {
            let next = self.attempt(Attempt::new(store.clone(), &self.fixed, number, turn, None), fresh, body);
            if !matches!(next, Next::Return(())) {
                // It may hold what others wait for, and it may run transactions of its own as it goes.
                body.forget();
            }
            let conflict = match next {
                Next::Return(()) => return Ok(()),
                Next::Fail(error) => return Err(self.explain(error, number)),
                Next::RunAgain(conflict) => conflict,
                Next::Wait(waits) => {
                    self.wait(number, waits)?;
                    (turn, fresh) = (None, None);
                    continue;
                }
            };
            number += 1;
            (turn, fresh) = self.prepare(number, conflict)?;
        }
    }

    /// Waits before attempt `number`: a random time, and for the turn on what others are changing too.
    fn prepare(&mut self, number: u32, conflict: Conflict) -> Result<(Option<Turn>, Option<Box<Fresh>>)> {
        let mut conflict = conflict.limited(number, self.store.hot_keys());
        let (at_once, fresh) = (conflict.at_once, conflict.fresh.take());
        let wait = self.wait_before(number, conflict)?;
        if !wait.is_zero() {
            self.store.clock().sleep(wait);
        }
        if at_once || self.hot.is_empty() {
            return Ok((None, fresh));
        }
        let patience = self.fixed.patience(self.store.clock());
        Ok((self.store.hot_keys().acquire(self.hot.clone(), insists(number), patience), None))
    }

    /// How long to wait before attempt `number`, if there is to be one.
    pub(super) fn wait_before(&mut self, number: u32, conflict: Conflict) -> Result<Duration> {
        self.store.counters().conflicted();
        let left = self.fixed.left(self.store.clock());
        if self.retry.attempts.is_some_and(|attempts| number > attempts.max(1)) || left.is_zero() {
            return Err(Error::new(ErrorKind::Conflict, self.gave_up(number - 1, &conflict)));
        }
        if conflict.at_once {
            self.last_conflict = Some(conflict);
            return Ok(Duration::ZERO);
        }
        self.store.groups().forget_all(&conflict.keys);
        self.hot.extend(conflict.keys.iter().cloned());
        self.last_conflict = Some(conflict);
        let calm = self.last_wait.as_ref().map_or(0, |(attempts, _)| attempts - 1);
        let bound = self.retry.backoff_bound(number - calm);
        Ok(if bound.is_zero() { bound } else { random::below(bound).min(left) })
    }

    /// A transaction that ran out of time after a conflict failed because of the conflict; after a wait, because it has waited. What
    /// took its last time is the cause.
    pub(super) fn explain(&self, error: Error, attempts: u32) -> Error {
        match (&self.last_conflict, &self.last_wait) {
            (Some(conflict), _) if error.is_timeout() => {
                Error::with_source(ErrorKind::Conflict, self.gave_up(attempts, conflict), error)
            }
            (None, Some((_, objects))) if error.is_timeout() => late_after_wait(self.fixed.name, objects, error),
            _ => error,
        }
    }

    fn gave_up(&self, attempts: u32, conflict: &Conflict) -> String {
        let times = if attempts == 1 { "one attempt".to_owned() } else { format!("{attempts} attempts") };
        format!(
            "`{}` gave up after {times}: other transactions kept changing {}; nothing was written",
            self.fixed.name,
            conflict.names()
        )
    }

    fn attempt(&mut self, attempt: Rc<Attempt>, fresh: Option<Box<Fresh>>, body: &mut dyn Body) -> Next<()> {
        attempt.state.borrow_mut().fresh = fresh;
        self.store.counters().attempted();
        let ran = run_body(&attempt, |tx| body.run(tx));
        self.fixed.now = attempt.asked_now();
        if attempt.is_waiting() {
            return attempt.end_in_wait();
        }
        let is_success = match ran {
            Ok(is_success) => is_success,
            Err(panic) => return after_panic(&attempt, panic),
        };
        if let Err(next) = judge(attempt.doomed(), is_success) {
            if !matches!(next, Next::Return(())) {
                body.forget();
            }
            return hold_back(&attempt, next);
        }
        match attempt.commit() {
            Ok(Committed::Done) => {
                let effects = attempt.take_effects();
                attempt.leave();
                run_effects(effects);
                Next::Return(())
            }
            Ok(Committed::Conflict(conflict)) => Next::RunAgain(conflict),
            Err(error) => Next::Fail(error),
        }
    }
}

/// Runs all of them: one that panics does not keep the others from it.
pub(super) fn run_effects(effects: Vec<Effect>) {
    let panics = effects.into_iter().filter_map(|effect| catch_unwind(AssertUnwindSafe(effect)).err());
    // The first panic goes on once all have run.
    if let Some(panic) = panics.reduce(|first, _| first) {
        resume_unwind(panic);
    }
}

/// What a body has panicked with.
pub(super) type Panic = Box<dyn Any + Send>;

/// Runs the body of an attempt.
pub(super) fn run_body<Out>(attempt: &Rc<Attempt>, body: impl FnOnce(&Tx) -> Out) -> std::result::Result<Out, Panic> {
    let _running = Running::start(attempt.clone());
    catch_unwind(AssertUnwindSafe(|| body(&Tx::new(attempt.clone()))))
}

/// A body that panics has no result, so the attempt comes to nothing; unless what it has seen is not so, the panic goes on.
fn after_panic(attempt: &Attempt, panic: Panic) -> Next<()> {
    if let Some(Doom::Conflict(conflict)) = attempt.doomed() {
        return Next::RunAgain(conflict);
    }
    let has_gate = attempt.state.borrow().gate.is_some();
    match has_gate.then(|| attempt.finish_reading(false)) {
        Some(Ok(Committed::Conflict(conflict))) => Next::RunAgain(conflict),
        _ => resume_unwind(panic),
    }
}

/// An error may tell of what was read, so it is held back like any result.
fn hold_back(attempt: &Attempt, next: Next<()>) -> Next<()> {
    if !next.tells() {
        return next;
    }
    match attempt.finish_reading(true) {
        Ok(Committed::Done) => next,
        Ok(Committed::Conflict(conflict)) => Next::RunAgain(conflict),
        Err(error) => Next::Fail(error),
    }
}

/// What comes of what a body has returned, where the attempt is not to be committed.
pub(super) fn judge(doom: Option<Doom>, is_success: bool) -> std::result::Result<(), Next<()>> {
    match doom {
        Some(Doom::Conflict(conflict)) => Err(Next::RunAgain(conflict)),
        Some(Doom::Failed(error)) if is_success || error.is_timeout() => Err(Next::Fail(error)),
        Some(Doom::Waits) => Err(Next::Wait(None)),
        None if is_success => Ok(()),
        Some(Doom::Failed(_)) | None => Err(Next::Return(())),
    }
}

/// Marks an attempt as running on this thread, also while its body unwinds.
struct Running;

impl Running {
    fn start(attempt: Rc<Attempt>) -> Self {
        RUNNING.with_borrow_mut(|running| running.push(attempt));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let last = RUNNING.with_borrow_mut(|running| {
            let last = running.pop();
            if running.is_empty() {
                running.shrink_to_fit();
            }
            last
        });
        drop(last);
    }
}
