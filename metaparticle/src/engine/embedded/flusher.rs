//! The one thread that writes to the log.

use std::sync::Arc;

use super::Shared;
use super::follower::Follower;
use super::map::{Log, OrderedMap};
use super::queue::flusher_ended;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};
use crate::sync::{Instant, thread, wake_all};

/// The map is brought up to date when the log has so much that it does not have.
const FOLLOWED_BYTES: u64 = 16 << 20;
/// So much is in the log at most, while the map is slower than it.
const LOG_BYTES: u64 = 4 * FOLLOWED_BYTES;

/// What the engine has of its threads.
pub(super) struct Flusher {
    thread: thread::JoinHandle<()>,
    follower: thread::ThreadId,
}

impl Flusher {
    /// Waits until it has ended, and the follower with it. Whoever these two wake may drop the engine where it is woken: they do not wait
    /// for themselves.
    pub(super) fn join(self) {
        if [self.thread.thread().id(), self.follower].contains(&thread::current().id()) {
            return;
        }
        // If it has panicked, the queue has failed and every waiter was told.
        let _ = self.thread.join();
    }
}

/// Starts the flusher, where the map has everything up to commit `applied`. It ends when the queue is stopped and all is
/// written, or at the first failure.
pub(super) fn start(shared: Arc<Shared>, log: impl Log, map: Arc<dyn OrderedMap>, applied: u64) -> Result<Flusher> {
    let follower = Follower::start(shared.clone(), map, applied)?;
    let follower_id = follower.id;
    let run = move || {
        let _stopper = FailOnExit(&shared);
        if let Err(error) = flush(&shared, log, &follower) {
            shared.queue.fail(error);
        }
    };
    let thread = thread::Builder::new().name("metaparticle-flusher".to_owned()).spawn(run).map_err(not_started)?;
    Ok(Flusher { thread, follower: follower_id })
}

fn flush(shared: &Shared, mut log: impl Log, follower: &Follower) -> Result<()> {
    while shared.queue.wait_for_work() {
        let (group, waiting_for_room) = {
            let mut table = shared.table.write();
            let waiting_for_room = shared.queue.taken();
            (table.take_group(), waiting_for_room)
        };
        wake_all(waiting_for_room);
        if planted(Bug::AcknowledgeBeforeFlush) {
            shared.queue.set_durable(group.last_commit);
        }
        let (before, began) = (log.bytes(), Instant::now());
        log.append(&group)?;
        shared.queue.took(began.elapsed());
        let last_commit = group.last_commit;
        shared.queue.set_durable(last_commit);
        shared.gone.add(follower.add(group, log.bytes() - before));
        if log.bytes() >= FOLLOWED_BYTES {
            let mut released = follower.has_come_to();
            log.release(if planted(Bug::ReleaseTooEarly) { last_commit } else { released })?;
            // While it waits here, the map may come to an end, and go on with the next.
            while log.bytes() >= FOLLOWED_BYTES {
                follower.hurry();
                let applied = follower.keep_pace(log.bytes(), LOG_BYTES, released);
                if applied == released {
                    break;
                }
                log.release(applied)?;
                released = applied;
            }
        }
        if log.bytes() >= LOG_BYTES {
            log.release(follower.wait()?)?;
        }
    }
    log.release(follower.wait()?)
}

pub(super) fn not_started(error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::Engine, "the thread that writes to disk could not be started", error)
}

/// Whatever ends a thread that writes, nobody waits for it in vain.
pub(super) struct FailOnExit<'a>(pub(super) &'a Shared);

impl Drop for FailOnExit<'_> {
    fn drop(&mut self) {
        self.0.queue.fail(flusher_ended());
        self.0.watchers.missed();
    }
}
