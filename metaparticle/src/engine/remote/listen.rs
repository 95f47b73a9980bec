//! Hears of what other processes change, from the server, while somebody watches.
//!
//! A server may tell only those who are connected, so whatever was said while nobody listened is lost: then everything that is
//! watched has to be looked at. What is lost without anybody noticing is found by looking now and then ([`CHECK`]).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::settle::Pauses;
use super::{Failure, Server};
use crate::engine::subscription::POLL;
use crate::engine::{RecordKey, Watchers};
use crate::sync::{AtomicBool, Mutex, Ordering, unless};

/// How often those who watch look although the server tells every change.
const CHECK: Duration = Duration::from_secs(5);

/// How often it is seen whether anybody still watches.
const IDLE: Duration = Duration::from_secs(10);

/// How long changes are gathered before others are told of them.
const GATHERED: Duration = Duration::from_millis(5);

/// A server that does not tell of changes, or not to this user.
pub(crate) struct TellsNothing;

/// Those who watch, and what brings them hints.
pub(super) struct Listener<S> {
    server: Arc<S>,
    watchers: Arc<Watchers>,
    is_listening: Arc<AtomicBool>,
    notices: Arc<Mutex<Option<Vec<RecordKey>>>>,
}

impl<S: Server> Listener<S> {
    pub(super) fn new(server: Arc<S>) -> Self {
        let watchers = Arc::new(Watchers::new());
        watchers.set_check(Some(POLL));
        Self { server, watchers, is_listening: Arc::default(), notices: Arc::default() }
    }

    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Sees to it that somebody listens to the server while there are watchers.
    pub(super) fn listen(&self) {
        if self.is_listening.swap(true, Ordering::SeqCst) {
            return;
        }
        let (server, watchers, is_listening) = (self.server.clone(), self.watchers.clone(), self.is_listening.clone());
        let task = async move {
            loop {
                listen(&*server, &watchers).await;
                is_listening.store(false, Ordering::SeqCst);
                // Whoever came in between has found it still listening.
                if !watchers.is_any() || is_listening.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        };
        if let Ok(runtime) = super::runtime() {
            runtime.spawn(task);
        }
    }

    /// Tells everybody what this process has changed.
    pub(super) fn tell(&self, keys: Vec<RecordKey>) {
        self.watchers.changed(&keys);
        if !S::IS_TOLD {
            return;
        }
        // If there are some already, there is a task that will take these along.
        let mut notices = self.notices.lock();
        if let Some(notices) = &mut *notices {
            notices.extend(keys);
            return;
        }
        *notices = Some(keys);
        let (server, notices) = (self.server.clone(), self.notices.clone());
        // On the thread for I/O, where every commit comes from.
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(GATHERED).await;
                let keys = match &mut *notices.lock() {
                    Some(keys) if !keys.is_empty() => std::mem::take(keys),
                    none => {
                        *none = None;
                        return;
                    }
                };
                let _turn = server.turn().await;
                let _ = tokio::time::timeout(super::TRY, server.tell(&keys)).await;
            }
        });
    }
}

/// Listens until nobody watches any more.
async fn listen<S: Server>(server: &S, watchers: &Watchers) {
    let mut pauses = Pauses::endless();
    loop {
        let is_heard = || {
            // From here on, every change is told; what came before was not.
            watchers.set_check(Some(CHECK));
            watchers.missed();
        };
        let ended = unless(unwatched(watchers), server.listen(watchers, is_heard)).await;
        watchers.set_check(Some(POLL));
        match ended {
            None => return,
            Some(Ok(TellsNothing)) => return unwatched(watchers).await,
            Some(Err(Failure::Again(_) | Failure::Final(_))) => pauses.pause().await,
        };
    }
}

async fn unwatched(watchers: &Watchers) {
    while watchers.is_any() {
        tokio::time::sleep(IDLE).await;
    }
}

/// Nothing is ever told.
pub(super) fn silent() -> impl Future<Output = Result<TellsNothing, Failure>> + Send {
    std::future::ready(Ok(TellsNothing))
}
