//! Queues for objects that transactions had a conflict on: whoever lost takes turns instead of racing.
//!
//! Turns are taken in key order, so that two transactions cannot wait for each other, and are only a courtesy: a commit is
//! validated whether or not its transaction has the turn.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::RecordKey;
use crate::planted::{Bug, planted};
use crate::random::HashState;
use crate::sync::{AtomicU64, Mutex, Ordering, block_on, limit};

const SHARDS: usize = 16;

/// How often others may take the turn before whoever has waited longest for it. Passing it to the thread that runs anyway is
/// much faster than waking another one each time.
const OVERTAKEN: u32 = limit(128, 1);

/// The turn on one key, and who waits for it, the longest first.
#[derive(Default)]
struct Queue {
    holder: Option<Arc<Ticket>>,
    waiting: VecDeque<Arc<Ticket>>,
    /// How often the first of those who wait was overtaken.
    overtaken: u32,
}

/// Somebody who wants, or has, a turn.
#[derive(Default)]
struct Ticket {
    /// Present while its owner sleeps.
    waker: Mutex<Option<Waker>>,
}

type Queues = HashMap<RecordKey, Queue, HashState>;

/// All queues of a store.
pub(crate) struct HotKeys {
    shards: [Mutex<Queues>; SHARDS],
    hasher: HashState,
    /// How many tickets there are, so that nobody looks for queues when there are none.
    tickets: AtomicU64,
}

impl Default for HotKeys {
    fn default() -> Self {
        Self { shards: Default::default(), hasher: HashState::default(), tickets: AtomicU64::new(0) }
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

    /// Waits on this thread for the turn on each of `keys`, at most for so long; then `None`, and the caller goes on without.
    pub(crate) fn acquire(self: &Arc<Self>, keys: Vec<RecordKey>, clock: &dyn Clock, patience: Duration) -> Option<Turn> {
        let deadline = clock.now().saturating_add(patience);
        block_on(self.clone().turn(keys), clock, Some(deadline))
    }

    /// The turn on each of `keys`, when it has come. Dropping the future leaves the queues.
    pub(crate) async fn turn(self: Arc<Self>, mut keys: Vec<RecordKey>) -> Turn {
        keys.sort();
        keys.dedup();
        let mut turn = Turn { queues: self.clone(), held: Vec::with_capacity(keys.len()) };
        for key in keys {
            let ticket = Arc::new(Ticket::default());
            self.tickets.fetch_add(1, Ordering::Relaxed);
            // From here on, dropping `turn` leaves the queue.
            turn.held.push((key.clone(), ticket.clone()));
            poll_fn(|context| self.poll_turn(&key, &ticket, context)).await;
        }
        turn
    }

    /// Ready when the ticket has the turn.
    fn poll_turn(&self, key: &RecordKey, ticket: &Arc<Ticket>, context: &mut Context<'_>) -> Poll<()> {
        let mut queues = self.shard(key).lock();
        let queue = queues.entry(key.clone()).or_default();
        match &queue.holder {
            Some(holder) if Arc::ptr_eq(holder, ticket) => return Poll::Ready(()),
            None => {
                queue.take(ticket);
                return Poll::Ready(());
            }
            Some(_) => {}
        }
        if !queue.waiting.iter().any(|other| Arc::ptr_eq(other, ticket)) {
            queue.waiting.push_back(ticket.clone());
        }
        *ticket.waker.lock() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Gives up the turn, or the place in the queue.
    fn leave(&self, key: &RecordKey, ticket: &Arc<Ticket>) {
        let mut queues = self.shard(key).lock();
        self.tickets.fetch_sub(1, Ordering::Relaxed);
        let Some(queue) = queues.get_mut(key) else { return };
        queue.waiting.retain(|other| !Arc::ptr_eq(other, ticket));
        if queue.holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, ticket)) {
            queue.holder = None;
        }
        if queue.holder.is_some() {
            return;
        }
        let next = queue.waiting.front().cloned();
        match &next {
            Some(next) if queue.overtaken >= OVERTAKEN => queue.take(next),
            Some(_) => {}
            None => drop(queues.remove(key)),
        }
        drop(queues);
        if let Some(waker) = next.and_then(|next| next.waker.lock().take())
            && !planted(Bug::ForgetTurn)
        {
            waker.wake();
        }
    }
}

impl Queue {
    fn take(&mut self, ticket: &Arc<Ticket>) {
        let is_first = self.waiting.front().is_none_or(|first| Arc::ptr_eq(first, ticket));
        self.overtaken = if is_first { 0 } else { self.overtaken + 1 };
        self.waiting.retain(|other| !Arc::ptr_eq(other, ticket));
        self.holder = Some(ticket.clone());
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
