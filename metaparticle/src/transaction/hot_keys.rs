//! Queues for objects that transactions had a conflict on: whoever lost takes turns instead of racing.
//!
//! Turns are taken in key order, so that two transactions cannot wait for each other, and are only a courtesy: a commit is
//! validated whether or not its transaction has the turn. So others go on without it who have not lost yet, and are faster than
//! somebody whose body takes long; but for somebody who *insists*, everybody waits.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use crate::clock::Clock;
use crate::engine::RecordKey;
use crate::planted::{Bug, planted};
use crate::random::HashState;
use crate::sync::{AtomicU64, Mutex, Ordering, block_on, limit, wake_all};

const SHARDS: usize = 16;

/// For so long, others may take the turn before whoever is first in the queue. Passing it to the thread that runs anyway is much
/// faster than waking another one each time.
const SLICE: Duration = limit(Duration::from_micros(500), Duration::from_millis(2));

/// Keys that turns are wanted on; mostly one.
pub(super) type HotList = SmallVec<[RecordKey; 1]>;

/// The turn on one key, and who waits for it, the longest first.
#[derive(Default)]
struct Queue {
    holder: Option<Holder>,
    waiting: VecDeque<Arc<Ticket>>,
    /// When somebody has taken it who was first.
    since: Duration,
    /// Whether the first of those who wait was woken to try its luck, and looks again by itself at the end of the slice.
    is_told: bool,
}

/// Somebody who wants, or has, a turn.
#[derive(Default)]
struct Ticket {
    /// Present while its owner sleeps.
    waker: Mutex<Option<Waker>>,
    insists: bool,
}

/// Who has a turn.
enum Holder {
    /// Somebody who has not waited for it.
    Passing,
    Ticket(Arc<Ticket>),
}

type Delay = Pin<Box<dyn Future<Output = ()> + Send>>;

type Queues = HashMap<RecordKey, Queue, HashState>;

/// All queues of a store.
pub(crate) struct HotKeys {
    shards: [Mutex<Queues>; SHARDS],
    hasher: HashState,
    /// How many queues there are, so that nobody looks for one when there are none. Changed under the lock of their shard.
    count: AtomicU64,
    /// How many tickets insist.
    insisting: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl HotKeys {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            shards: Default::default(),
            hasher: HashState::default(),
            count: AtomicU64::new(0),
            insisting: AtomicU64::new(0),
            clock,
        }
    }

    fn shard(&self, key: &RecordKey) -> &Mutex<Queues> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Whether nobody has, or waits for, any turn.
    pub(super) fn are_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Whether somebody insists on any turn.
    pub(super) fn are_insisted_on(&self) -> bool {
        self.insisting.load(Ordering::Relaxed) > 0
    }

    /// Whether somebody has, or waits for, the turn on `key`.
    pub(crate) fn is_hot(&self, key: &RecordKey) -> bool {
        !self.are_empty() && self.shard(key).lock().contains_key(key)
    }

    /// Whether somebody insists on the turn on `key`.
    pub(super) fn is_insisted_on(&self, key: &RecordKey) -> bool {
        self.are_insisted_on() && self.shard(key).lock().get(key).is_some_and(Queue::is_insisted_on)
    }

    /// The turn on `key`, if somebody waits for it and nobody has it just now. Most turns are taken so: by the thread that had the one
    /// before.
    pub(super) fn at_once(self: &Arc<Self>, key: &RecordKey) -> AtOnce {
        let mut queues = self.shard(key).lock();
        let Some(queue) = queues.get_mut(key) else { return AtOnce::NotHot };
        if queue.holder.is_some() {
            return AtOnce::Taken;
        }
        queue.holder = Some(Holder::Passing);
        drop(queues);
        AtOnce::Mine(Turn { queues: self.clone(), held: smallvec![(key.clone(), Holder::Passing)], now: None })
    }

    /// Waits on this thread for the turn on each of `keys`, at most for so long; then `None`, and the caller goes on without.
    pub(super) fn acquire(self: &Arc<Self>, keys: HotList, insists: bool, patience: Duration) -> Option<Turn> {
        let deadline = self.clock.now().saturating_add(patience);
        block_on(self.clone().turn(keys, insists), &*self.clock, Some(deadline))
    }

    /// The turn on each of `keys`, when it has come. Dropping the future leaves the queues.
    pub(super) async fn turn(self: Arc<Self>, mut keys: HotList, insists: bool) -> Turn {
        keys.sort();
        keys.dedup();
        let mut turn = Turn { queues: self.clone(), held: SmallVec::with_capacity(keys.len()), now: None };
        for key in keys {
            let ticket = Arc::new(Ticket { insists, ..Ticket::default() });
            self.insisting.fetch_add(insists.into(), Ordering::Relaxed);
            // From here on, dropping `turn` leaves the queue.
            turn.held.push((key, Holder::Ticket(ticket.clone())));
            let Some((key, _)) = turn.held.last() else { continue };
            let mut end_of_slice = None;
            poll_fn(|context| self.poll_turn(key, &ticket, &mut end_of_slice, context)).await;
        }
        turn
    }

    /// Ready when the ticket has the turn.
    fn poll_turn(
        &self,
        key: &RecordKey,
        ticket: &Arc<Ticket>,
        end_of_slice: &mut Option<Delay>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let left = {
                let mut queues = self.shard(key).lock();
                let queue = queues.entry(key.clone()).or_insert_with(|| {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    Queue::default()
                });
                match &queue.holder {
                    Some(holder) if holder.is(ticket) => return Poll::Ready(()),
                    None => {
                        queue.take(ticket, &*self.clock);
                        return Poll::Ready(());
                    }
                    Some(_) => {}
                }
                if !queue.waiting.iter().any(|other| Arc::ptr_eq(other, ticket)) {
                    queue.waiting.push_back(ticket.clone());
                }
                *ticket.waker.lock() = Some(context.waker().clone());
                queue.left_alone(ticket, self.clock.now())
            };
            if left.is_zero() {
                // Whoever has the turn passes it on.
                return Poll::Pending;
            }
            // Nobody wakes it before the end of the slice, and perhaps nobody takes the turn until then.
            let delay = end_of_slice.get_or_insert_with(|| self.clock.delay(left));
            if delay.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            *end_of_slice = None;
        }
    }

    /// Gives up the turn, or the place in the queue. `now`: what the clock has just shown, if somebody has looked.
    fn leave(&self, key: &RecordKey, holder: &Holder, now: Option<Duration>) {
        let mut queues = self.shard(key).lock();
        if holder.insists() {
            self.insisting.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(queue) = queues.get_mut(key) else { return };
        match holder {
            Holder::Passing => queue.holder = None,
            Holder::Ticket(ticket) if queue.holder.as_ref().is_some_and(|holder| holder.is(ticket)) => queue.holder = None,
            Holder::Ticket(ticket) if !planted(Bug::LeakTicket) => queue.forget(ticket),
            Holder::Ticket(_) => {}
        }
        if queue.holder.is_some() {
            return;
        }
        let is_over = queue.left(now.unwrap_or_else(|| self.clock.now())).is_zero();
        if !is_over && queue.is_told {
            return;
        }
        let Some(first) = queue.waiting.front().cloned() else {
            queues.remove(key);
            self.count.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        if is_over {
            queue.take(&first, &*self.clock);
        } else {
            queue.is_told = true;
        }
        drop(queues);
        let waker = first.waker.lock().take().filter(|_| !planted(Bug::WakeNobody));
        wake_all(waker);
    }
}

impl Holder {
    fn is(&self, ticket: &Arc<Ticket>) -> bool {
        matches!(self, Self::Ticket(holder) if Arc::ptr_eq(holder, ticket))
    }

    fn insists(&self) -> bool {
        matches!(self, Self::Ticket(ticket) if ticket.insists)
    }
}

impl Queue {
    fn is_insisted_on(&self) -> bool {
        self.holder.as_ref().is_some_and(Holder::insists) || self.waiting.iter().any(|ticket| ticket.insists)
    }

    fn is_first(&self, ticket: &Arc<Ticket>) -> bool {
        self.waiting.front().is_some_and(|first| Arc::ptr_eq(first, ticket))
    }

    /// How long nobody may wake the ticket's owner. Once the slice is over, it relies on being woken by whoever has the turn, who may
    /// have looked at the clock before, and so be sure that there was more of the slice: it is not told any more.
    fn left_alone(&mut self, ticket: &Arc<Ticket>, now: Duration) -> Duration {
        if !self.is_told || !self.is_first(ticket) {
            return Duration::ZERO;
        }
        let left = self.left(now);
        self.is_told = !left.is_zero() || planted(Bug::TellOnce);
        left
    }

    /// How long the slice still is.
    fn left(&self, now: Duration) -> Duration {
        (self.since + SLICE).saturating_sub(now)
    }

    fn take(&mut self, ticket: &Arc<Ticket>, clock: &dyn Clock) {
        if self.waiting.is_empty() || self.is_first(ticket) {
            self.since = clock.now();
        }
        self.forget(ticket);
        self.holder = Some(Holder::Ticket(ticket.clone()));
    }

    /// Takes the ticket from those who wait.
    fn forget(&mut self, ticket: &Arc<Ticket>) {
        if self.is_first(ticket) {
            self.is_told = false;
            self.waiting.pop_front();
        } else {
            self.waiting.retain(|other| !Arc::ptr_eq(other, ticket));
        }
    }
}

/// What comes of asking for a turn that somebody else may have.
pub(super) enum AtOnce {
    /// Nobody else wants it, so it is not needed.
    NotHot,
    Mine(Turn),
    Taken,
}

/// The turn on some keys, passed on when dropped.
pub(crate) struct Turn {
    queues: Arc<HotKeys>,
    held: SmallVec<[(RecordKey, Holder); 1]>,
    /// What the clock has shown last, so that it need not be looked at again.
    now: Option<Duration>,
}

impl Turn {
    /// The clock shows `now`, and the turn is about to end.
    pub(super) fn ends_at(&mut self, now: Duration) {
        self.now = Some(now);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        for (key, holder) in &self.held {
            self.queues.leave(key, holder, self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::SystemTime;

    use super::*;
    use crate::clock::{ManualClock, SystemClock};

    #[test]
    fn turns_on_one_key_are_taken_one_at_a_time() {
        let queues = Arc::new(HotKeys::new(Arc::new(SystemClock::default())));
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let keys = smallvec![RecordKey::new(*b"b"), RecordKey::new(*b"a")];
                        let turn = queues.acquire(keys, false, Duration::from_secs(60)).expect("a turn");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two had the turn at once");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert!(queues.are_empty(), "a queue is left behind");
    }

    #[test]
    fn a_turn_is_had_at_once_only_where_it_is_wanted_and_free() {
        let queues = Arc::new(HotKeys::new(Arc::new(SystemClock::default())));
        let key = RecordKey::new(*b"a");
        assert!(matches!(queues.at_once(&key), AtOnce::NotHot), "nobody wants it");
        let mut turn = queues.acquire(smallvec![key.clone()], false, Duration::from_secs(60)).expect("a turn");
        assert!(matches!(queues.at_once(&key), AtOnce::Taken));
        assert!(matches!(queues.at_once(&RecordKey::new(*b"b")), AtOnce::NotHot), "it is another key");
        let since = {
            let mut queues = queues.shard(&key).lock();
            let queue = queues.get_mut(&key).expect("its queue");
            queue.waiting.push_back(Arc::default());
            queue.since
        };
        // Within its slice, the turn is for whoever comes first.
        turn.ends_at(since);
        drop(turn);
        let AtOnce::Mine(mut turn) = queues.at_once(&key) else { panic!("it is free") };
        assert!(matches!(queues.at_once(&key), AtOnce::Taken));
        // Then it is for whoever waits.
        turn.ends_at(since + SLICE);
        drop(turn);
        assert!(matches!(queues.at_once(&key), AtOnce::Taken) && !queues.are_empty());
    }

    #[test]
    fn whoever_waits_is_woken_by_a_turn_that_ended_in_the_slice_and_is_given_up_after_it() {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let queues = Arc::new(HotKeys::new(clock.clone()));
        let key = RecordKey::new(*b"a");
        let first = queues.acquire(smallvec![key.clone()], false, Duration::from_secs(60)).expect("a turn");
        let mut context = Context::from_waker(Waker::noop());
        let mut waits = pin!(queues.clone().turn(smallvec![key.clone()], false));
        let sleeps = || {
            let queues = queues.shard(&key).lock();
            queues[&key].waiting[0].waker.lock().is_some()
        };
        assert!(waits.as_mut().poll(&mut context).is_pending() && sleeps());
        drop(first);
        assert!(!sleeps(), "the turn is free");
        // Somebody is faster, and about to end.
        let AtOnce::Mine(mut faster) = queues.at_once(&key) else { panic!("it is free") };
        faster.ends_at(clock.now());
        // Meanwhile the slice comes to its end. This clock moves by itself where one waits for it.
        assert!(waits.as_mut().poll(&mut context).is_pending() && sleeps());
        assert!(clock.now() >= SLICE);
        drop(faster);
        assert!(!sleeps(), "the turn is free, and nobody else comes");
        assert!(waits.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn whoever_gives_up_waiting_leaves_the_queue() {
        let queues = Arc::new(HotKeys::new(Arc::new(SystemClock::default())));
        let key = RecordKey::new(*b"a");
        let turn = queues.acquire(smallvec![key.clone()], true, Duration::from_secs(60)).expect("a turn");
        assert!(queues.acquire(smallvec![key.clone()], true, Duration::ZERO).is_none());
        assert!(queues.is_insisted_on(&key));
        drop(turn);
        assert!(queues.are_empty() && !queues.are_insisted_on());
    }
}
