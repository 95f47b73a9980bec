//! The one thread that writes to disk.

use std::sync::Arc;

use super::Shared;
use super::map::OrderedMap;
use super::queue::flusher_ended;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::thread;

/// Starts the flusher. It ends when the queue is stopped and empty, or at the first failure.
pub(super) fn start(shared: Arc<Shared>, map: Arc<dyn OrderedMap>) -> Result<thread::JoinHandle<()>> {
    let run = move || {
        let stopper = FailOnExit(&shared);
        while let Some(group) = shared.queue.next_group() {
            if let Err(error) = map.apply(&group) {
                shared.queue.fail(error);
                break;
            }
            // Evicted before anybody is told, so that what is told durable costs no memory any more.
            shared.table.write().evict(group.changes.iter().map(|(key, _)| key), group.last_commit);
            shared.queue.set_durable(group.last_commit);
        }
        drop(stopper);
    };
    thread::Builder::new()
        .name("metaparticle-flusher".to_owned())
        .spawn(run)
        .map_err(|error| Error::with_source(ErrorKind::Engine, "the thread that writes to disk could not be started", error))
}

/// Whatever ends the flusher, nobody waits for it in vain.
struct FailOnExit<'a>(&'a Shared);

impl Drop for FailOnExit<'_> {
    fn drop(&mut self) {
        self.0.queue.fail(flusher_ended());
        self.0.watchers.missed();
    }
}
