//! How an engine tells those who watch ranges of keys that something in them has changed.
//!
//! What is told are hints: one may come twice, or when nothing has changed; a change may be told once for several. None is left out
//! without [`Hint::Missed`] in its place. What has changed is then found out by reading.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{KeyRange, RecordKey};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Delay, Mutex, Ordering, unless, wake_all};

/// How many keys are kept for somebody who does not ask for them; from then on, anything may have changed.
const KEPT: usize = 1024;

/// How often to look where nothing is told.
pub(crate) const POLL: Duration = Duration::from_millis(250);

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The records of these keys.
    Keys(BTreeSet<RecordKey>),
    /// Anything that is watched.
    Missed,
}

/// Brings hints of what changes in some ranges of keys, from the moment that it was made; see [`Engine::subscribe`](super::Engine::subscribe).
pub struct Subscription {
    watcher: Arc<Watcher>,
    check: Arc<AtomicU64>,
}

struct Watcher {
    ranges: Vec<KeyRange>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: BTreeSet<RecordKey>,
    missed: bool,
    waker: Option<Waker>,
}

/// All subscriptions of an engine: what it is made with, and told to.
///
/// ```
/// use metaparticle::engine::{Hint, KeyRange, RecordKey, Watchers};
///
/// let watchers = Watchers::new();
/// let range = KeyRange { start: RecordKey::new(*b"a"), end: RecordKey::new(*b"b") };
/// let subscription = watchers.subscribe(vec![range]);
/// watchers.changed([&RecordKey::new(*b"apple"), &RecordKey::new(*b"bear")]);
/// assert_eq!(subscription.take(), Some(Hint::Keys([RecordKey::new(*b"apple")].into())));
/// ```
#[derive(Default)]
pub struct Watchers {
    watchers: Mutex<Vec<Weak<Watcher>>>,
    /// How many of them there are at most, so that a commit does not look for any when there are none.
    count: AtomicU64,
    /// How often those who watch must look although nothing was told, in milliseconds; 0: they need not.
    check: Arc<AtomicU64>,
}

impl Watchers {
    /// None yet, of an engine that tells every change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how often subscriptions have to look although nothing is told. `None`: every change is told for certain.
    pub fn set_check(&self, check: Option<Duration>) {
        self.check.store(check.map_or(0, |check| check.as_millis() as u64), Ordering::Relaxed);
    }

    /// A subscription to what changes in any of `ranges` from now on.
    pub fn subscribe(&self, ranges: Vec<KeyRange>) -> Subscription {
        let watcher = Arc::new(Watcher { ranges, state: Mutex::default() });
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(&watcher));
        self.count.store(watchers.len() as u64, Ordering::SeqCst);
        Subscription { watcher, check: self.check.clone() }
    }

    /// Whether there is a subscription. Engines whose changes come from elsewhere need not listen to them before.
    pub fn is_any(&self) -> bool {
        if self.count.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        self.count.store(watchers.len() as u64, Ordering::SeqCst);
        !watchers.is_empty()
    }

    /// Tells that the records of these keys have changed, after whoever reads them will see it.
    pub fn changed<'a>(&self, keys: impl IntoIterator<Item = &'a RecordKey> + Clone) {
        self.tell(|watcher, state| {
            let in_ranges = |key: &&RecordKey| watcher.ranges.iter().any(|range| range.contains(key));
            let before = state.keys.len();
            state.keys.extend(keys.clone().into_iter().filter(in_ranges).cloned());
            let is_told = state.keys.len() > before;
            if state.keys.len() > KEPT {
                *state = State { missed: true, waker: state.waker.take(), ..State::default() };
            }
            is_told
        });
    }

    /// Tells that anything may have changed.
    pub fn missed(&self) {
        self.tell(|_, state| {
            state.keys.clear();
            state.missed = true;
            true
        });
    }

    fn tell(&self, tell: impl Fn(&Watcher, &mut State) -> bool) {
        if self.count.load(Ordering::SeqCst) == 0 || planted(Bug::ForgetWatchers) {
            return;
        }
        let watchers: Vec<Arc<Watcher>> = self.watchers.lock().iter().filter_map(Weak::upgrade).collect();
        for watcher in watchers {
            let waker = {
                let mut state = watcher.state.lock();
                if tell(&watcher, &mut state) { state.waker.take() } else { None }
            };
            wake_all(waker);
        }
    }
}

impl Subscription {
    /// A subscription that is told nothing, of an engine that does not know what others change.
    pub fn untold() -> Self {
        let watchers = Watchers::new();
        watchers.set_check(Some(POLL));
        watchers.subscribe(Vec::new())
    }

    /// How often to look although there was no hint. `None`: there is a hint for every change.
    pub fn check(&self) -> Option<Duration> {
        let check = self.check.load(Ordering::Relaxed);
        (check > 0).then(|| Duration::from_millis(check))
    }

    /// What has been told since the last time.
    pub fn take(&self) -> Option<Hint> {
        self.watcher.state.lock().take()
    }

    /// What is told next.
    pub async fn next(&self) -> Hint {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// What is told next, or [`Hint::Missed`] when it is time to look all the same. `None`: only what is told.
    pub(crate) async fn next_within(&self, patience: Option<Duration>) -> Hint {
        let Some(patience) = patience else { return self.next().await };
        unless(Delay::new(patience), self.next()).await.unwrap_or(Hint::Missed)
    }

    /// As [`next`](Subscription::next), for one who polls.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Hint> {
        let mut state = self.watcher.state.lock();
        match state.take() {
            Some(hint) => Poll::Ready(hint),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl State {
    fn take(&mut self) -> Option<Hint> {
        if std::mem::take(&mut self.missed) {
            self.keys.clear();
            return Some(Hint::Missed);
        }
        (!self.keys.is_empty()).then(|| Hint::Keys(std::mem::take(&mut self.keys)))
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("ranges", &self.watcher.ranges).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_is_dropped_is_no_longer_told() {
        let watchers = Watchers::new();
        assert!(!watchers.is_any());
        let subscriptions = [(); 2].map(|()| watchers.subscribe(Vec::new()));
        assert!(watchers.is_any());
        drop(subscriptions);
        assert!(!watchers.is_any(), "it is told still");
        assert!(watchers.watchers.lock().is_empty(), "what it was told by is kept");
    }
}
