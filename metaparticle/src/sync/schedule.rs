//! What `sync` offers in a build for the schedule campaign: shuttle's counterparts, with the interfaces of what they stand for.
//!
//! Almost every call is a point at which another thread may go on instead, and shuttle chooses which. All threads of an execution
//! share one of the system's threads, so thread locals are shuttle's too. Time is counted in such points, and so is the same whenever
//! a schedule is repeated. A wait of less than [`PATIENCE`] may end at any moment, and a longer one only when somebody ends it: who
//! is never woken is found, although in real life a deadline would help it out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64};

use crate::clock::Clock;

/// Waits of so much are for ever. Less than what a transaction waits for its turn, more than the time after which one looks where
/// nothing is told.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long it takes from one point to the next.
const STEP: Duration = Duration::from_micros(25);

/// A point at which another thread may go on, for what shuttle has no counterpart of.
fn point() {
    // Whereas `yield_now` says that there is nothing to do before another thread has gone on.
    shuttle::thread::sleep(Duration::ZERO);
}

pub(crate) mod thread {
    use std::io;
    use std::num::NonZero;
    use std::time::Duration;

    pub(crate) use shuttle::thread::*;

    pub(crate) fn sleep(_duration: Duration) {
        yield_now();
    }

    /// So that waiting without being asleep is tried too.
    pub(crate) fn available_parallelism() -> io::Result<NonZero<usize>> {
        Ok(NonZero::<usize>::MIN.saturating_add(1))
    }
}

/// As the one of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: &self.0, held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }
}

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a shuttle::sync::Mutex<T>,
    /// Absent only while a `Condvar` waits.
    held: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("nobody has it while it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("nobody has it while it waits")
    }
}

/// As the one of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("nobody has it while it waits");
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) {
        if timeout >= PATIENCE {
            return self.wait(guard);
        }
        guard.held = None;
        thread::yield_now();
        guard.held = Some(guard.mutex.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// As the one of `std`.
#[derive(Debug)]
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        point();
        self.0.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        point();
        self.0.set(value)
    }
}

/// As the one of `std`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(STEP * shuttle::current::context_switches() as u32)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().0 - self.0
    }
}

/// As the one of `futures_timer`.
pub(crate) struct Delay {
    is_long: bool,
    is_over: bool,
}

impl Delay {
    pub(crate) fn new(duration: Duration) -> Self {
        Self { is_long: duration >= PATIENCE, is_over: false }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_over {
            return Poll::Ready(());
        }
        if !self.is_long {
            self.is_over = true;
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Runs `future` on this thread until it is ready, or gives it up and returns `None` once the clock shows `deadline`.
///
/// With shuttle's own wakers: that of a thread which is parked would be a point at which another thread may go on, and who wakes it may
/// have a lock that shuttle does not know of.
pub(crate) fn block_on<T>(future: impl Future<Output = T>, clock: &dyn Clock, deadline: Option<Duration>) -> Option<T> {
    let mut future = pin!(future);
    shuttle::future::block_on(poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        match deadline.map(|deadline| deadline.saturating_sub(clock.now())) {
            Some(Duration::ZERO) => return Poll::Ready(None),
            Some(left) if left < PATIENCE => context.waker().wake_by_ref(),
            _ => {}
        }
        Poll::Pending
    }))
}

/// As the one of `std`.
pub(crate) struct LocalKey<T: 'static>(&'static shuttle::thread::LocalKey<T>);

impl<T: 'static> LocalKey<T> {
    pub(crate) const fn new(key: &'static shuttle::thread::LocalKey<T>) -> Self {
        Self(key)
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.0.with(f)
    }

    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, shuttle::thread::AccessError> {
        self.0.try_with(f)
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    pub(crate) fn with_borrow<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|value| f(&value.borrow()))
    }

    pub(crate) fn with_borrow_mut<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|value| f(&mut value.borrow_mut()))
    }
}

impl<T: Copy + 'static> LocalKey<Cell<T>> {
    pub(crate) fn get(&self) -> T {
        self.with(Cell::get)
    }

    pub(crate) fn replace(&self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// As the one of `std`.
macro_rules! schedule_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        $(
            $(#[$attribute])*
            static $name: $crate::sync::schedule::LocalKey<$type> = {
                ::shuttle::thread_local! { static KEY: $type = $value; }
                $crate::sync::schedule::LocalKey::new(&KEY)
            };
        )*
    };
}
pub(crate) use schedule_thread_local;
