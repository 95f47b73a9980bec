//! Watching objects: their states as they change, told to a loop or a stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::clock::SystemClock;
use crate::durability::Durability;
use crate::engine::{Hint, KeyRange, RecordKey, Subscription, Version};
use crate::error::Result;
use crate::key::{IntoRange, KeyFor, ObjectKey, found_key, key_range};
use crate::persistent::Persistent;
use crate::store::Store;
use crate::sync::{Delay, Instant, block_on};
use crate::transaction::{Found, Part, TransactionOptions};

/// How long to wait after the engine has failed, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// All objects are looked at again without a hint only after so many times the time that it takes.
const SHARE: u32 = 20;

/// An object, as it was found to be.
pub struct Change<T: Persistent> {
    /// Which one.
    pub key: T::Key,
    /// What it is now; `None`: it is not there.
    pub object: Option<T>,
}

/// The states of one object, or of all objects of a type, as they change; see [`Store::watch`] and [`Store::watch_all`].
///
/// It is an iterator, which waits on this thread, and a [`Stream`], which any executor can wait for. Both go on for ever. A state that
/// could not be read is an error that names it, after which the next one follows; after an error of the engine it is tried again.
///
/// It tells *states*, not events: when an object changes faster than it is asked for, states in between are left out, but never the last one.
/// A state that is told is durable. Connections that are lost, and processes that end, lose nothing: what differs from what was told
/// last is told when it can be read again.
pub struct Watch<T: Persistent> {
    next: Next<T>,
    /// [`next_state`], which needs `T: Send`: that is asked for where a watch is made, and not where it is polled.
    after: fn(Watching<T>) -> Next<T>,
}

/// The next state, and what the one after it is found with.
type Next<T> = Pin<Box<dyn Future<Output = (Result<Change<T>>, Watching<T>)> + Send>>;

fn next_state<T: Persistent + Send>(mut watching: Watching<T>) -> Next<T> {
    Box::pin(async move { (watching.next().await, watching) })
}

impl Store {
    /// Watches one object: what it is now, and then what it has become each time that it has changed.
    ///
    /// ```
    /// # use metaparticle::{persistent, Result, Store};
    /// # #[persistent(default)] struct Visits { count: u64 }
    /// let store = Store::open("memory:")?;
    /// let mut watch = store.watch::<Visits>("home");
    /// assert!(watch.next().expect("the present state")?.object.is_none());
    ///
    /// store.transaction(|tx| tx.get_mut::<Visits>("home").map(|mut home| home.count += 1))?;
    /// assert_eq!(watch.next().expect("the new state")?.object.expect("it is there").count, 1);
    /// # metaparticle::Ok(())
    /// ```
    pub fn watch<T: Persistent + Send>(&self, key: impl KeyFor<T>) -> Watch<T> {
        let key = key.object_key().record_key().clone();
        Watch::new(self, KeyRange::only(&key), Some(key))
    }

    /// Watches all objects of a type: each as it is now, and then those that have changed, come into being, or been removed.
    ///
    /// ```
    /// # use metaparticle::{persistent, Result, Store};
    /// # #[persistent(default)] struct Visits { count: u64 }
    /// let store = Store::open("memory:")?;
    /// store.transaction(|tx| tx.get_mut::<Visits>("home").map(|mut home| home.count += 1))?;
    /// let mut watch = store.watch_all::<Visits>();
    /// assert_eq!(watch.next().expect("the present state")?.key, "home");
    ///
    /// store.transaction(|tx| tx.remove::<Visits>("home"))?;
    /// assert!(watch.next().expect("the removal")?.object.is_none());
    /// # metaparticle::Ok(())
    /// ```
    ///
    /// It keeps the key and the version of each object, not the object.
    pub fn watch_all<T: Persistent + Send>(&self) -> Watch<T> {
        self.watch_range(..)
    }

    /// As [`watch_all`](Store::watch_all), of the objects with keys in a range.
    pub fn watch_range<T: Persistent + Send>(&self, range: impl IntoRange<T::Key>) -> Watch<T> {
        Watch::new(self, key_range::<T>(range), None)
    }
}

impl<T: Persistent + Send> Watch<T> {
    fn new(store: &Store, range: KeyRange, only: Option<RecordKey>) -> Self {
        let watching = Watching {
            // Before anything is read, so that no change is left out.
            subscription: store.engine().subscribe(std::slice::from_ref(&range)),
            store: store.clone(),
            rest: Some(range.start.clone()),
            range,
            only,
            known: BTreeMap::new(),
            changed: BTreeSet::new(),
            found: VecDeque::new(),
            began: Instant::now(),
            took: Duration::ZERO,
            pause: Duration::ZERO,
        };
        Self { next: next_state(watching), after: next_state }
    }

    /// The next state, if there is one within `patience`. Waits on this thread.
    pub fn next_within(&mut self, patience: Duration) -> Option<Result<Change<T>>> {
        let clock = SystemClock::default();
        block_on(poll_fn(|context| self.poll_state(context)), &clock, Some(patience))
    }
}

impl<T: Persistent> Watch<T> {
    fn poll_state(&mut self, context: &mut Context<'_>) -> Poll<Result<Change<T>>> {
        let (state, watching) = ready!(self.next.as_mut().poll(context));
        self.next = (self.after)(watching);
        Poll::Ready(state)
    }
}

impl<T: Persistent> Iterator for Watch<T> {
    type Item = Result<Change<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(poll_fn(|context| self.poll_state(context)), &SystemClock::default(), None)
    }
}

impl<T: Persistent> Stream for Watch<T> {
    type Item = Result<Change<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_state(context).map(Some)
    }
}

/// What a watch knows and has still to do.
struct Watching<T: Persistent> {
    store: Store,
    subscription: Subscription,
    range: KeyRange,
    /// The one object, if it is only one. Also that it is not there is told then.
    only: Option<RecordKey>,
    /// What was told.
    known: BTreeMap<RecordKey, Version>,
    /// What is to be looked at.
    changed: BTreeSet<RecordKey>,
    /// Where to go on looking at everything, if that is to be done.
    rest: Option<RecordKey>,
    found: VecDeque<Found<T>>,
    /// When everything was looked at last, and how long that took.
    began: Instant,
    took: Duration,
    /// How long to wait before the engine is asked again.
    pause: Duration,
}

impl<T: Persistent + Send> Watching<T> {
    async fn next(&mut self) -> Result<Change<T>> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Ok(Change { key: found_key::<T>(&found.key)?, object: found.object? });
            }
            if self.rest.is_none() && self.changed.is_empty() {
                self.wait().await;
                continue;
            }
            if !self.pause.is_zero() {
                Delay::new(self.pause).await;
            }
            match self.look().await {
                Ok(()) => self.pause = Duration::ZERO,
                Err(error) => {
                    self.pause = (self.pause * 2).clamp(PAUSE.0, PAUSE.1);
                    return Err(error);
                }
            }
        }
    }

    /// Waits until there is something to look at.
    async fn wait(&mut self) {
        let left = |check: Duration| check.max(self.took * SHARE).saturating_sub(self.began.elapsed());
        let patience = self.subscription.check().map(left);
        if patience == Some(Duration::ZERO) {
            // Also where there is always a hint: others may have changed what nobody tells.
            self.rest = Some(self.range.start.clone());
            return;
        }
        let hint = self.subscription.next_within(patience).await;
        match hint {
            Hint::Keys(keys) => self.changed = keys,
            Hint::Missed => self.rest = Some(self.range.start.clone()),
        }
    }

    /// Looks at the next part of everything or, if everything was looked at, at what has changed.
    async fn look(&mut self) -> Result<()> {
        let options = TransactionOptions::new().read_only().durability(Durability::Immediate).name("a watch");
        let known = &self.known;
        if let Some(start) = &self.rest {
            if *start == self.range.start {
                self.began = Instant::now();
            }
            let range = KeyRange { start: start.clone(), end: self.range.end.clone() };
            let part = self.store.transaction_async_with(options, |tx| tx.look_at_range::<T>(&range, known)).await;
            let Part { keys, found, end } = part?;
            let gone = known.range(range.start..end.clone()).map(|(key, _)| key).filter(|key| !keys.contains(*key));
            let gone: Vec<_> = gone.cloned().map(Found::gone).collect();
            self.rest = (end < self.range.end).then_some(end);
            if self.rest.is_none() {
                self.took = self.began.elapsed();
            }
            found.into_iter().chain(gone).for_each(|found| self.note(found));
            // The one object is told about once even if it is not there.
            if let (Some(only), true) = (self.only.take(), self.found.is_empty()) {
                self.found.push_back(Found::gone(only));
            }
            return Ok(());
        }
        let keys: Vec<ObjectKey<T>> = self.changed.iter().cloned().map(ObjectKey::of_record_key).collect();
        let found = self.store.transaction_async_with(options, |tx| tx.look_at(&keys, known)).await?;
        self.changed.clear();
        found.into_iter().for_each(|found| self.note(found));
        Ok(())
    }

    fn note(&mut self, found: Found<T>) {
        match found.version {
            Some(version) => self.known.insert(found.key.clone(), version),
            None => self.known.remove(&found.key),
        };
        self.found.push_back(found);
    }
}

impl<T: Persistent + fmt::Debug> fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("key", &self.key).field("object", &self.object).finish()
    }
}

impl<T: Persistent> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("type", &PhantomData::<T>).finish_non_exhaustive()
    }
}
