//! The one thread that writes to the map: it brings the map to where the log is, so that the log can be short.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Shared;
use super::flusher::{FailOnExit, not_started};
use super::map::{Group, OrderedMap, change_bytes};
use super::queue::flusher_ended;
use crate::engine::{Record, RecordKey};
use crate::error::Result;
use crate::planted::{Bug, planted};
use crate::sync::{Condvar, Mutex, limit, thread};

/// What the map is given at once, if it is more than one change.
const PART_BYTES: usize = limit(256 << 10, 100);

/// Changes that the log has and the map does not, merged.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: HashMap<RecordKey, Option<Record>, RandomState>,
    last_commit: u64,
    /// What they have in the log.
    log_bytes: u64,
}

impl Pending {
    /// Also gives back what it takes the place of.
    pub(super) fn add(&mut self, group: Group, log_bytes: u64) -> Vec<Record> {
        let changes = group.changes.into_iter();
        let replaced = changes.filter_map(|(key, record)| self.changes.insert(key, record).flatten()).collect();
        self.last_commit = group.last_commit;
        self.log_bytes += log_bytes;
        replaced
    }

    pub(super) fn last_commit(&self) -> u64 {
        self.last_commit
    }

    /// Has the map apply all of it, in parts; `applied` is told each. Until the last one, the map's commit number stays `before`: what
    /// it has then is of no one commit, and a crash has the log's groups applied once more.
    pub(super) fn apply(self, map: &dyn OrderedMap, before: u64, mut applied: impl FnMut(&Group)) -> Result<()> {
        let mut changes: Vec<_> = self.changes.into_iter().collect();
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut part = Group { changes: Vec::new(), last_commit: before };
            let mut bytes = 0;
            while let Some((key, record)) = changes.peek() {
                bytes += change_bytes(key, record.as_ref().map(|record| &*record.bytes));
                if bytes > PART_BYTES && !part.changes.is_empty() {
                    break;
                }
                part.changes.extend(changes.next());
            }
            if changes.peek().is_none() || planted(Bug::CountPartAsWhole) {
                part.last_commit = self.last_commit;
            }
            map.apply(&part)?;
            applied(&part);
        }
        Ok(())
    }
}

/// How far the map is on its way to where the log was.
#[derive(Clone, Copy, Debug)]
struct Run {
    changes: usize,
    applied: usize,
    /// What the log had at the beginning, without what the map had already.
    log_bytes: u64,
}

impl Run {
    /// How much may be in the log by now, so that it comes to `most` when the run is over, and not before. Otherwise everybody
    /// would have to wait then for all that is left of the run. Half of it is free, for a map that is soon done.
    fn allowed(&self, most: u64) -> u64 {
        let room = most.saturating_sub(self.log_bytes);
        (self.log_bytes + room * self.applied as u64 / self.changes.max(1) as u64).max(most / 2)
    }
}

#[derive(Default)]
struct State {
    pending: Pending,
    /// Whether the map is to follow now.
    is_due: bool,
    /// How far it is, while it does.
    run: Option<Run>,
    stopping: bool,
    /// The newest commit that the map has.
    applied: u64,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the flusher has of the thread.
pub(super) struct Follower {
    inner: Arc<Inner>,
    pub(super) id: thread::ThreadId,
    thread: Option<thread::JoinHandle<()>>,
}

impl Follower {
    /// Starts the thread. The map has everything up to commit `applied`.
    pub(super) fn start(shared: Arc<Shared>, map: Arc<dyn OrderedMap>, applied: u64) -> Result<Self> {
        let inner = Arc::new(Inner { state: Mutex::new(State { applied, ..State::default() }), ..Inner::default() });
        let run = {
            let inner = inner.clone();
            move || {
                let _stopper = FailOnExit(&shared);
                let _end = StopOnExit(&inner);
                if let Err(error) = inner.follow(&shared, &*map) {
                    shared.queue.fail(error);
                }
            }
        };
        let thread = thread::Builder::new().name("metaparticle-follower".to_owned()).spawn(run).map_err(not_started)?;
        Ok(Self { inner, id: thread.thread().id(), thread: Some(thread) })
    }

    /// Adds what the log has, in so many bytes. Also gives back what that takes the place of.
    pub(super) fn add(&self, group: Group, log_bytes: u64) -> Vec<Record> {
        self.inner.state.lock().pending.add(group, log_bytes)
    }

    /// The newest commit that the map has.
    pub(super) fn has_come_to(&self) -> u64 {
        self.inner.state.lock().applied
    }

    /// Has the map follow now, or once more if it does already.
    pub(super) fn hurry(&self) {
        self.inner.state.lock().is_due = true;
        self.inner.changed.notify_all();
    }

    /// Waits while the log has grown faster than the map follows, for a log that is to have `most` bytes in the end, and that was
    /// released up to a commit. Gives the newest commit that the map has: with a newer one, the log has less than it was told.
    pub(super) fn keep_pace(&self, log_bytes: u64, most: u64, released: u64) -> u64 {
        let mut state = self.inner.state.lock();
        let is_too_fast = |state: &State| state.run.is_some_and(|run| log_bytes > run.allowed(most));
        while !state.stopping && state.applied <= released && is_too_fast(&state) {
            self.inner.changed.wait(&mut state);
        }
        state.applied
    }

    /// Waits until the map has all that was added; the newest commit of it.
    pub(super) fn wait(&self) -> Result<u64> {
        let mut state = self.inner.state.lock();
        loop {
            // It has failed, and the queue knows why.
            if state.stopping {
                return Err(flusher_ended());
            }
            if state.run.is_none() && state.pending.changes.is_empty() {
                return Ok(state.applied);
            }
            // If there is nothing, it is busy with the last of it. Asked once more, it would be busy with nothing, and again.
            if !state.pending.changes.is_empty() || planted(Bug::AskForNothing) {
                state.is_due = true;
                self.inner.changed.notify_all();
            }
            self.inner.changed.wait(&mut state);
        }
    }
}

impl Drop for Follower {
    /// Ends it, without waiting for what the map does not have; whatever ends the flusher, the map is not kept open.
    fn drop(&mut self) {
        drop(StopOnExit(&self.inner));
        // The scheduler takes the stack of an execution that is over down like this, and nothing may block then.
        let is_taken_down = cfg!(metaparticle_schedule) && thread::panicking();
        if let Some(thread) = self.thread.take().filter(|_| !is_taken_down) {
            // If it has panicked, the queue has failed and every waiter was told.
            let _ = thread.join();
        }
    }
}

/// Whatever ends the thread, nobody waits for it in vain.
struct StopOnExit<'a>(&'a Inner);

impl Drop for StopOnExit<'_> {
    fn drop(&mut self) {
        self.0.state.lock().stopping = true;
        self.0.changed.notify_all();
    }
}

impl Inner {
    /// The map has so many changes more.
    fn advance(&self, changes: usize) {
        if let Some(run) = &mut self.state.lock().run {
            run.applied += changes;
        }
        self.changed.notify_all();
    }

    fn follow(&self, shared: &Shared, map: &dyn OrderedMap) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return Ok(());
            }
            if !state.is_due {
                self.changed.wait(&mut state);
                continue;
            }
            let pending = std::mem::take(&mut state.pending);
            state.is_due = false;
            state.run = Some(Run { changes: pending.changes.len(), applied: 0, log_bytes: pending.log_bytes });
            let (before, last) = (state.applied, pending.last_commit);
            drop(state);
            if !pending.changes.is_empty() {
                pending.apply(map, before, |part| {
                    // Evicted as it goes: what the map has costs no memory any more.
                    shared.table.write().evict(&part.changes, last);
                    self.advance(part.changes.len());
                })?;
            }
            state = self.state.lock();
            state.run = None;
            state.applied = state.applied.max(last);
            self.changed.notify_all();
        }
    }
}
