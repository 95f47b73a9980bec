//! The commits that are visible and not yet on disk, in order, and everybody who waits for them.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::map::{Group, change_bytes};
use super::table::Change;
use crate::engine::{Record, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicU64, Condvar, Instant, Mutex, OnceLock, Ordering};

/// Committers wait while more than this is queued, so that they cannot run ahead of the disk without bound.
const QUEUE_BYTES: usize = 4 << 20;
const QUEUE_COMMITS: usize = 1 << 16;
/// A group is closed before it would exceed this: sled must not have more unsynced than fits well into one of its segments.
const GROUP_BYTES: usize = 256 << 10;

struct Commit {
    number: u64,
    changes: Vec<Change>,
    bytes: usize,
    queued_at: Instant,
}

#[derive(Default)]
struct State {
    commits: VecDeque<Commit>,
    /// Of what is queued and of the group that is being written.
    bytes: usize,
    writing_bytes: usize,
    /// The newest commit that somebody waits for.
    awaited: u64,
    stopping: bool,
    waiting_for_disk: Vec<(u64, Waker)>,
    waiting_for_room: Vec<Waker>,
}

pub(super) struct CommitQueue {
    state: Mutex<State>,
    /// Tells the flusher that there may be something to do.
    work: Condvar,
    durable: AtomicU64,
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
            durable: AtomicU64::new(durable),
            failed: OnceLock::new(),
            flush_interval,
        }
    }

    /// The error that has stopped the store, if one has.
    pub(super) fn check(&self) -> Result<()> {
        self.failed.get().cloned().map_or(Ok(()), Err)
    }

    pub(super) fn has_room(&self) -> bool {
        self.has_room_now(&self.state.lock())
    }

    /// Ready when there is room, or never will be.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if self.has_room_now(&state) {
            return Poll::Ready(());
        }
        state.waiting_for_room.push(context.waker().clone());
        // Nobody may be waiting for these commits, but now somebody waits for their room.
        self.work.notify_one();
        Poll::Pending
    }

    /// Adds a commit. Called under the table's lock, so that the order here is the order of the numbers.
    pub(super) fn push(&self, number: u64, changes: Vec<Change>) {
        let bytes = changes.iter().map(|change| change_bytes(&change.key, change.bytes.as_ref())).sum();
        let mut state = self.state.lock();
        state.bytes += bytes;
        state.commits.push_back(Commit { number, changes, bytes, queued_at: Instant::now() });
        // Otherwise the flusher is awake, or somebody will ask for the disk and wake it.
        if state.commits.len() == 1 {
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
        state.waiting_for_disk.push((number, context.waker().clone()));
        if state.awaited < number {
            state.awaited = number;
            self.work.notify_one();
        }
        Poll::Pending
    }

    /// Waits for the next commits to write, merged into one group; `None` when the engine ends and all are written.
    pub(super) fn next_group(&self) -> Option<Group> {
        let mut state = self.state.lock();
        loop {
            let Some(first) = state.commits.front() else {
                if state.stopping {
                    return None;
                }
                self.work.wait(&mut state);
                continue;
            };
            let age = first.queued_at.elapsed();
            let due = state.stopping
                || state.awaited >= first.number
                || !state.waiting_for_room.is_empty()
                || state.bytes >= GROUP_BYTES;
            if due || age >= self.flush_interval {
                return Some(state.take_group());
            }
            self.work.wait_for(&mut state, self.flush_interval - age);
        }
    }

    /// Everything up to `number` is on disk.
    pub(super) fn set_durable(&self, number: u64) {
        let mut state = self.state.lock();
        self.durable.store(number, Ordering::Release);
        state.bytes -= state.writing_bytes;
        state.writing_bytes = 0;
        let (done, waiting) =
            std::mem::take(&mut state.waiting_for_disk).into_iter().partition(|(waits_for, _)| *waits_for <= number);
        state.waiting_for_disk = waiting;
        let room = if self.has_room_now(&state) { std::mem::take(&mut state.waiting_for_room) } else { Vec::new() };
        drop(state);
        wake_all(done, room);
    }

    /// The store stops: everybody who waits, and everybody who comes, is told `error`.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        // Only the first failure is told.
        let _ = self.failed.set(error);
        state.commits.clear();
        let done = std::mem::take(&mut state.waiting_for_disk);
        let room = std::mem::take(&mut state.waiting_for_room);
        drop(state);
        wake_all(done, room);
    }

    fn has_room_now(&self, state: &State) -> bool {
        // A failed queue has room, so that who waits comes to hear of the failure.
        self.failed.get().is_some() || (state.bytes < QUEUE_BYTES && state.commits.len() < QUEUE_COMMITS)
    }

    /// Lets `next_group` end once everything is written.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_one();
    }
}

impl State {
    /// Whole commits from the front, one at least, each key once in its newest state.
    fn take_group(&mut self) -> Group {
        let mut newest: HashMap<_, Option<Record>> = HashMap::new();
        let (mut taken, mut last_commit) = (0, 0);
        while let Some(commit) = self.commits.front() {
            if taken > 0 && taken + commit.bytes > GROUP_BYTES {
                break;
            }
            let Some(commit) = self.commits.pop_front() else { break };
            taken += commit.bytes;
            last_commit = commit.number;
            for change in commit.changes {
                let version = Version::new(commit.number.into());
                newest.insert(change.key, change.bytes.map(|bytes| Record { version, bytes }));
            }
        }
        self.writing_bytes = taken;
        Group { changes: newest.into_iter().collect(), last_commit }
    }
}

fn wake_all(done: Vec<(u64, Waker)>, room: Vec<Waker>) {
    done.into_iter().map(|(_, waker)| waker).chain(room).for_each(Waker::wake);
}

/// The error of a store whose flusher ended without saying why.
pub(super) fn flusher_ended() -> Error {
    Error::new(ErrorKind::Engine, "the thread that writes to disk has ended; open the store again")
}
