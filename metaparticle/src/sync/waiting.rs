//! Waiting for a future on this thread.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::clock::Clock;

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
