//! Queues for objects that transactions had a conflict on: whoever lost takes turns instead of racing.
//!
//! Turns are taken in key order, so that two transactions cannot wait for each other, and are only a courtesy: a commit is
//! validated whether or not its transaction has the turn.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::RecordKey;
use crate::sync::{AtomicU64, Mutex, Ordering, block_on};

const SHARDS: usize = 16;

/// A place in a queue.
#[derive(Default)]
struct Ticket {
    waker: Mutex<Option<Waker>>,
}

type Queues = HashMap<RecordKey, VecDeque<Arc<Ticket>>>;

/// All queues of a store.
pub(crate) struct HotKeys {
    shards: [Mutex<Queues>; SHARDS],
    hasher: RandomState,
    /// How many tickets there are, so that nobody looks for queues when there are none.
    tickets: AtomicU64,
}

impl Default for HotKeys {
    fn default() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), tickets: AtomicU64::new(0) }
    }
}

impl HotKeys {
    fn shard(&self, key: &RecordKey) -> &Mutex<Queues> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Whether somebody has, or waits for, the turn on `key`.
    pub(crate) fn is_hot(&self, key: &RecordKey) -> bool {
        self.tickets.load(Ordering::Relaxed) > 0 && self.shard(key).lock().contains_key(key)
    }

    /// Waits for the turn on each of `keys`, at most for so long; then `None`, and the caller goes on without.
    pub(crate) fn acquire(self: &Arc<Self>, mut keys: Vec<RecordKey>, clock: &dyn Clock, patience: Duration) -> Option<Turn> {
        let deadline = clock.now().saturating_add(patience);
        keys.sort();
        keys.dedup();
        let mut turn = Turn { queues: self.clone(), held: Vec::with_capacity(keys.len()) };
        for key in keys {
            let ticket = Arc::new(Ticket::default());
            self.tickets.fetch_add(1, Ordering::Relaxed);
            self.shard(&key).lock().entry(key.clone()).or_default().push_back(ticket.clone());
            // From here on, dropping `turn` leaves the queue.
            turn.held.push((key.clone(), ticket.clone()));
            block_on(poll_fn(|context| self.poll_first(&key, &ticket, context)), clock, Some(deadline))?;
        }
        Some(turn)
    }

    fn poll_first(&self, key: &RecordKey, ticket: &Arc<Ticket>, context: &mut Context<'_>) -> Poll<()> {
        let queues = self.shard(key).lock();
        let first = queues.get(key).and_then(VecDeque::front);
        if first.is_some_and(|first| Arc::ptr_eq(first, ticket)) {
            return Poll::Ready(());
        }
        *ticket.waker.lock() = Some(context.waker().clone());
        Poll::Pending
    }

    fn leave(&self, key: &RecordKey, ticket: &Arc<Ticket>) {
        let mut queues = self.shard(key).lock();
        self.tickets.fetch_sub(1, Ordering::Relaxed);
        let Some(queue) = queues.get_mut(key) else { return };
        queue.retain(|other| !Arc::ptr_eq(other, ticket));
        let next = queue.front().and_then(|next| next.waker.lock().take());
        if queue.is_empty() {
            queues.remove(key);
        }
        drop(queues);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// The turn on some keys, passed on when dropped.
pub(crate) struct Turn {
    queues: Arc<HotKeys>,
    held: Vec<(RecordKey, Arc<Ticket>)>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        for (key, ticket) in &self.held {
            self.queues.leave(key, ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn turns_on_one_key_are_taken_one_at_a_time() {
        let queues = Arc::new(HotKeys::default());
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let clock = SystemClock::default();
                    for _ in 0..200 {
                        let keys = vec![RecordKey::new(*b"b"), RecordKey::new(*b"a")];
                        let turn = queues.acquire(keys, &clock, Duration::from_secs(60)).expect("a turn");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two had the turn at once");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert!(!queues.is_hot(&RecordKey::new(*b"a")), "a queue is left behind");
    }

    #[test]
    fn whoever_gives_up_waiting_leaves_the_queue() {
        let queues = Arc::new(HotKeys::default());
        let clock = SystemClock::default();
        let key = RecordKey::new(*b"a");
        let turn = queues.acquire(vec![key.clone()], &clock, Duration::from_secs(60)).expect("a turn");
        assert!(queues.acquire(vec![key.clone()], &clock, Duration::ZERO).is_none());
        drop(turn);
        assert!(!queues.is_hot(&key));
    }
}
