//! The one place that locks, atomics, threads, thread locals, waiting and monotonic time come from, so that a deterministic
//! scheduler can take their place: with `--cfg metaparticle_schedule`, all of it is as `sync/schedule.rs` says. (Deadlines and the
//! time of day come from the store's [`Clock`].)

#[cfg(metaparticle_schedule)]
pub(crate) mod schedule;

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
pub(crate) use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

#[cfg(not(metaparticle_schedule))]
pub(crate) use futures_timer::Delay;
#[cfg(not(metaparticle_schedule))]
pub(crate) use parking_lot::{Condvar, Mutex};
#[cfg(not(metaparticle_schedule))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(metaparticle_schedule))]
pub(crate) use std::sync::OnceLock;
#[cfg(not(metaparticle_schedule))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
#[cfg(not(metaparticle_schedule))]
pub(crate) use std::time::Instant;
#[cfg(not(metaparticle_schedule))]
pub(crate) use std::{thread, thread_local};

pub(crate) use self::read_write::RwLock;
#[cfg(metaparticle_schedule)]
pub(crate) use self::schedule::{
    AtomicBool, AtomicU64, Condvar, Delay, Instant, Mutex, OnceLock, block_on, schedule_thread_local as thread_local, spin_loop,
    thread,
};
#[cfg(not(metaparticle_schedule))]
pub(crate) use self::waiting::block_on;

/// The same for what is only counted, and for what all stores of a process share: no lock of these is held while anything else is
/// waited for, so that no schedule makes a difference.
pub(crate) mod unscheduled {
    pub(crate) use std::sync::OnceLock;
    pub(crate) use std::sync::atomic::AtomicU64;

    pub(crate) use parking_lot::{Mutex, RwLock};
}

/// A limit. In a build for the schedule campaign it is the `small` one, so that a few threads come to it in a few steps.
pub(crate) const fn limit<T: Copy>(usual: T, small: T) -> T {
    if cfg!(metaparticle_schedule) { small } else { usual }
}

/// The future's output, or `None` if `end` comes first.
pub(crate) async fn unless<T>(end: impl Future<Output = ()>, future: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut future) = (pin!(end), pin!(future));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Wakes all of them. Wakers are code of the user's: where one panics, the others are not to sleep on, nor is the thread that wakes them to
/// end.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

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

mod read_write;
#[cfg(not(metaparticle_schedule))]
mod waiting;
