//! A normal exit loses nothing: the thread that ends waits for what it has committed.
//!
//! A store that is dropped waits by itself, but the process's default store is never dropped. Thread-local values of the main
//! thread are dropped when `main` returns and in `std::process::exit`, so one of them does the waiting.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;

use super::Inner;
use crate::engine::{Answer, Stamp};
use crate::sync::{block_on, thread_local};

thread_local! {
    static UNFLUSHED: RefCell<Unflushed> = const { RefCell::new(Unflushed(Vec::new())) };
}

/// The newest commit of this thread in each store.
struct Unflushed(Vec<(Weak<Inner>, Stamp)>);

pub(super) fn remember(store: &Arc<Inner>, stamp: Stamp) {
    // While the thread ends there is nothing to remember it in; then the commit is waited for at once.
    let remembered = UNFLUSHED.try_with(|unflushed| {
        let mut unflushed = unflushed.borrow_mut();
        match unflushed.0.iter_mut().find(|(other, _)| std::ptr::eq(other.as_ptr(), Arc::as_ptr(store))) {
            Some((_, last)) => *last = stamp,
            None => {
                unflushed.0.retain(|(other, _)| other.strong_count() > 0);
                unflushed.0.push((Arc::downgrade(store), stamp));
            }
        }
    });
    if remembered.is_err() {
        wait(&Arc::downgrade(store), stamp);
    }
}

/// Keeps the store only for a moment at a time: if others drop theirs meanwhile, they are to be those who close it.
fn wait(store: &Weak<Inner>, stamp: Stamp) {
    let Some((clock, timeout)) = store.upgrade().map(|store| (store.clock.clone(), store.settings.retry.timeout)) else { return };
    let durable = poll_fn(|context| match store.upgrade() {
        None => Poll::Ready(()),
        Some(store) => match store.engine.durable(stamp) {
            Answer::Later(mut durable) => durable.as_mut().poll(context).map(drop),
            Answer::Ready(_) | Answer::Committing(_) => Poll::Ready(()),
        },
    });
    // There is nobody left to tell; a failed store has told its other callers.
    let _ = block_on(durable, &*clock, Some(clock.now().saturating_add(timeout)));
}

impl Drop for Unflushed {
    fn drop(&mut self) {
        for (store, stamp) in &self.0 {
            wait(store, *stamp);
        }
    }
}
