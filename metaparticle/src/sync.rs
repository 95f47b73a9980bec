//! The one place that locks, atomics, threads, waiting and monotonic time come from, so that a deterministic scheduler can take
//! their place. (Deadlines and the time of day come from the store's [`Clock`].)

use std::cell::RefCell;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::thread;
pub(crate) use std::time::Instant;

use crate::clock::Clock;

/// Alone in its part of the processors' caches, so that who changes it does not slow down those who use what is beside it. Caches
/// fetch lines of 64 bytes in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Wakes the thread that made it.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// This thread's waker, kept because a wait would otherwise allocate one.
    static WAKER: RefCell<Waker> = RefCell::new(Waker::from(Arc::new(Unpark(thread::current()))));
}

/// Runs `future` on this thread until it is ready, or gives it up and returns `None` once the clock shows `deadline`.
pub(crate) fn block_on<T>(future: impl Future<Output = T>, clock: &dyn Clock, deadline: Option<Duration>) -> Option<T> {
    let waker =
        WAKER.try_with(|waker| waker.borrow().clone()).unwrap_or_else(|_| Waker::from(Arc::new(Unpark(thread::current()))));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_sub(clock.now());
                if left.is_zero() {
                    return None;
                }
                clock.park(left);
            }
        }
    }
}
