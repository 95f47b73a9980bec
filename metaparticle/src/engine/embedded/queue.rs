//! How far the disk has come, how much is waiting for it, and everybody who waits for either.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::table::Published;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};
use crate::sync::{
    AtomicBool, AtomicU64, Condvar, Instant, Mutex, OnceLock, Ordering, limit, spin_loop, thread, unscheduled, wake_all,
};

/// Committers wait while more than this is unwritten, so that they cannot run ahead of the disk without bound. All of it, with one
/// commit more, is one group, which the log must take.
const UNWRITTEN_BYTES: u64 = limit(3 << 20, 300);
/// When so much is unwritten, it is written before its time.
const GROUP_BYTES: u64 = limit(2 << 20, 200);

/// Whoever waits alone for a disk that is usually quicker than this stays awake. Waking a thread takes some 20 microseconds, twice for a
/// commit.
const QUICK: Duration = Duration::from_micros(400);
/// The longest that it stays awake. To fall asleep shortly before the end would cost both times.
const PATIENCE: Duration = Duration::from_micros(600);
/// For so long, the flusher stays awake for the next commit of somebody who does.
const MOMENT: Duration = Duration::from_micros(150);

#[derive(Default)]
struct State {
    /// Since when something is unwritten.
    since: Option<Instant>,
    stopping: bool,
    waiting_for_disk: Vec<(u64, Waker)>,
    waiting_for_room: Vec<Waker>,
}

pub(super) struct CommitQueue {
    state: Mutex<State>,
    /// Tells the flusher that there may be something to do.
    work: Condvar,
    /// Bytes of commits that no group was made of yet; changed under the table's lock.
    unwritten: AtomicU64,
    durable: AtomicU64,
    /// The newest commit that somebody waits for; changed under the lock of the state.
    awaited: AtomicU64,
    /// Whether somebody waits without being asleep.
    is_watched: AtomicBool,
    /// Whether somebody did when the last group became durable.
    was_watched: AtomicBool,
    /// How long writing a group has taken lately, in nanoseconds.
    usual: AtomicU64,
    /// Why the store has stopped, if it has.
    failed: OnceLock<Error>,
    /// How long a commit that nobody waits for may stay in memory.
    flush_interval: Duration,
}

impl CommitQueue {
    pub(super) fn new(durable: u64, flush_interval: Duration) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            unwritten: AtomicU64::new(0),
            durable: AtomicU64::new(durable),
            awaited: AtomicU64::new(durable),
            is_watched: AtomicBool::new(false),
            was_watched: AtomicBool::new(false),
            usual: AtomicU64::new(0),
            failed: OnceLock::new(),
            flush_interval,
        }
    }

    /// The error that has stopped the store, if one has.
    pub(super) fn check(&self) -> Result<()> {
        self.failed.get().cloned().map_or(Ok(()), Err)
    }

    pub(super) fn has_room(&self) -> bool {
        // A failed queue has room, so that who waits comes to hear of the failure.
        self.unwritten.load(Ordering::Acquire) < UNWRITTEN_BYTES || self.failed.get().is_some()
    }

    /// Ready when there is room, or never will be.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if self.has_room() {
            return Poll::Ready(());
        }
        state.waiting_for_room.push(context.waker().clone());
        // Nobody may be waiting for these commits, but now somebody waits for their room.
        self.work.notify_one();
        Poll::Pending
    }

    /// Notes a commit. Called under the table's lock, where groups are taken too.
    pub(super) fn add(&self, published: &Published) {
        let unwritten = published.unwritten as u64;
        let before = self.unwritten.swap(unwritten, Ordering::AcqRel);
        if published.is_first {
            self.state.lock().since.get_or_insert_with(Instant::now);
        }
        // Otherwise the flusher is awake, or somebody will ask for the disk and wake it.
        if published.is_first || (before < GROUP_BYTES && unwritten >= GROUP_BYTES) {
            self.work.notify_one();
        }
    }

    pub(super) fn is_durable(&self, number: u64) -> bool {
        self.durable.load(Ordering::Acquire) >= number
    }

    /// Ready when commit `number` survives a power cut, or the store has failed.
    pub(super) fn poll_durable(&self, number: u64, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.state.lock();
        if self.is_durable(number) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.failed.get() {
            return Poll::Ready(Err(error.clone()));
        }
        if planted(Bug::RegisterTooLate) {
            drop(state);
            state = self.state.lock();
        }
        state.waiting_for_disk.push((number, context.waker().clone()));
        self.await_commit(number);
        Poll::Pending
    }

    /// Whether commit `number` is durable within a moment. Only one thread waits so, and only if nobody else waits: what it saves
    /// is the time that it takes to wake it and the flusher, which others would rather have for themselves.
    pub(super) fn is_durable_soon(&self, number: u64) -> bool {
        if self.is_durable(number) {
            return true;
        }
        let state = self.state.lock();
        let is_alone = state.waiting_for_disk.is_empty();
        if !is_alone || !self.is_quick() || !has_processors() || self.is_watched.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.await_commit(number);
        drop(state);
        let is_durable = spin_until(PATIENCE, || self.is_durable(number));
        self.is_watched.store(false, Ordering::Release);
        is_durable
    }

    /// Has a group made of everything up to `number`. Called with the state locked.
    fn await_commit(&self, number: u64) {
        if self.awaited.fetch_max(number, Ordering::AcqRel) < number {
            self.work.notify_one();
        }
    }

    fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > self.durable.load(Ordering::Acquire)
    }

    /// Waits until a group is to be written; whether there may be another one.
    pub(super) fn wait_for_work(&self) -> bool {
        if self.was_watched.load(Ordering::Acquire) {
            // Whoever has waited awake for the last commit is likely to make the next one soon.
            spin_until(MOMENT, || self.is_awaited());
        }
        let mut state = self.state.lock();
        loop {
            let Some(since) = state.since else {
                if state.stopping {
                    return false;
                }
                self.work.wait(&mut state);
                continue;
            };
            let due = state.stopping
                || self.is_awaited()
                || !state.waiting_for_room.is_empty()
                || self.unwritten.load(Ordering::Acquire) >= GROUP_BYTES;
            let age = since.elapsed();
            if due || age >= self.flush_interval {
                return true;
            }
            self.work.wait_for(&mut state, self.flush_interval - age);
        }
    }

    /// A group is made of all that is unwritten. Called under the table's lock; who is to be woken once that is given up.
    pub(super) fn taken(&self) -> Vec<Waker> {
        self.unwritten.store(0, Ordering::Release);
        let mut state = self.state.lock();
        state.since = None;
        let mut room = std::mem::take(&mut state.waiting_for_room);
        drop(state);
        if planted(Bug::ForgetRoom) {
            room.clear();
        }
        room
    }

    /// Writing a group took so long.
    pub(super) fn took(&self, time: Duration) {
        let usual = self.usual.load(Ordering::Relaxed);
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.usual.store(usual - usual / 8 + time / 8, Ordering::Relaxed);
    }

    fn is_quick(&self) -> bool {
        Duration::from_nanos(self.usual.load(Ordering::Relaxed)) < QUICK
    }

    /// Everything up to `number` is on disk.
    pub(super) fn set_durable(&self, number: u64) {
        let mut state = self.state.lock();
        self.was_watched.store(self.is_watched.load(Ordering::Acquire), Ordering::Release);
        self.durable.store(number, Ordering::Release);
        let (done, waiting): (Vec<_>, _) =
            std::mem::take(&mut state.waiting_for_disk).into_iter().partition(|(waits_for, _)| *waits_for <= number);
        state.waiting_for_disk = waiting;
        drop(state);
        wake_all(done.into_iter().map(|(_, waker)| waker));
    }

    /// The store stops: everybody who waits, and everybody who comes, is told `error`.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        // Only the first failure is told.
        let _ = self.failed.set(error);
        let done = std::mem::take(&mut state.waiting_for_disk);
        let room = std::mem::take(&mut state.waiting_for_room);
        drop(state);
        wake_all(done.into_iter().map(|(_, waker)| waker).chain(room));
    }

    /// Lets `wait_for_work` end once everything is written.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_one();
    }
}

/// Waits without sleeping, at most for so long; whether it is so by then.
fn spin_until(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > patience {
            return false;
        }
        spin_loop();
    }
    true
}

/// Whether one can be kept busy with waiting.
fn has_processors() -> bool {
    static PROCESSORS: unscheduled::OnceLock<usize> = unscheduled::OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, Into::into)) > 1
}

/// The error of a store whose flusher ended without saying why.
pub(super) fn flusher_ended() -> Error {
    Error::new(ErrorKind::Engine, "the thread that writes to disk has ended; open the store again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_stays_awake_for_a_disk_that_is_slow() {
        let queue = CommitQueue::new(0, Duration::from_secs(1));
        assert!(queue.is_quick());
        (0..100).for_each(|_| queue.took(QUICK * 2));
        assert!(!queue.is_quick());
        // One that is quick by chance is not counted on.
        queue.took(QUICK / 4);
        assert!(!queue.is_quick());
        (0..100).for_each(|_| queue.took(QUICK / 4));
        assert!(queue.is_quick());
        queue.took(Duration::MAX);
        assert!(!queue.is_quick());
    }
}
