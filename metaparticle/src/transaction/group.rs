//! Group commit, on engines that answer later: transactions that work on one object do not wait for each other's answers.
//!
//! While a commit of an object is on its way, the next transaction is given the record that it will leave, and what that one
//! changes is committed together with what others of this process add to it, once the answer is there: a *group* is one
//! minitransaction, and comes after the group before it. What is based on a group that is not committed yet is given to nobody: its
//! transactions wait, and run again if the group is not committed. Only transactions that have seen nothing but this one object
//! take part, so nothing that they see can contradict it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::Shared;

use super::log::wait;
use crate::durability::Durability;
use crate::engine::{CommitId, Differs, Record, RecordKey, Request, Seen, Version, Write};
use crate::error::Error;
use crate::store::Store;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// How many transactions are committed together at most, so that none waits for too many to run again.
const MEMBERS: usize = 1024;

/// The newest group of each object, in a store.
#[derive(Default)]
pub(crate) struct Groups {
    newest: Mutex<HashMap<RecordKey, Weak<Group>>>,
    /// How many there are, so that nobody looks for groups when there are none.
    count: AtomicU64,
}

/// Transactions on one object that are committed together. It is committed when one of them waits for it, and never if nobody does.
pub(crate) struct Group {
    key: RecordKey,
    content: Arc<Mutex<Content>>,
    outcome: Shared<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    has_failed: Arc<AtomicBool>,
    /// Whether the group before has failed, which means that this one will.
    is_doomed: Arc<AtomicBool>,
    store: Store,
}

struct Content {
    /// What the object will be. Its version is the commit's id, which on most engines it will have.
    record: Option<Record>,
    /// What its version will be compared with, if no other group goes before.
    base: Option<Version>,
    write: Write,
    id: CommitId,
    members: usize,
    is_sent: bool,
}

/// What has become of a group: the version that its object has now.
pub(super) type Outcome = std::result::Result<Option<Version>, Failed>;

#[derive(Clone, Debug)]
pub(super) enum Failed {
    /// Nothing was committed: the object is this by now.
    Conflict(Option<Record>),
    /// Nothing was sent: what the group before has left is not known.
    NotSent,
    /// The engine's error.
    Error(Error),
}

impl Failed {
    /// What this makes of a group that comes after the one that has failed.
    fn of_the_next(self) -> Self {
        match self {
            Self::Error(_) => Self::NotSent,
            failed => failed,
        }
    }
}

/// What has become of a commit that was offered to a group.
pub(super) enum Joined {
    Member(Arc<Group>),
    /// The object is, or will be, another than the one that was seen.
    Behind(Gate, Differs),
}

/// A group that something was read from.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) group: Arc<Group>,
    /// Whether it was on its way by then.
    pub(super) was_sent: bool,
}

impl Groups {
    /// What an object will be, if a commit of it is on its way.
    pub(super) fn read(&self, key: &RecordKey) -> Option<(Option<Record>, Gate)> {
        let group = self.newest(key).filter(|group| group.is_open())?;
        let (record, was_sent) = {
            let content = group.content.lock();
            (content.record.clone(), content.is_sent)
        };
        Some((record, Gate { group, was_sent }))
    }

    fn newest(&self, key: &RecordKey) -> Option<Arc<Group>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.newest.lock().get(key)?.upgrade()
    }

    /// Adds a commit to the group of its object, or begins one. `None`, if it has seen anything else.
    pub(super) fn join(&self, store: &Store, seen: &Seen, write: &[Write]) -> Option<Joined> {
        if !is_of_one_object(seen, write) {
            return None;
        }
        let ((key, version), write) = (&seen.records[0], &write[0]);
        // Dropped after the lock: the last one to drop a group takes it.
        let (newest, group);
        let mut groups = self.newest.lock();
        newest = groups.get(key).and_then(Weak::upgrade);
        let id = CommitId(store.random_id());
        if let Some(newest) = &newest {
            let mut content = newest.content.lock();
            if newest.is_open() {
                if content.version() != *version {
                    let differs = Differs { records: vec![(key.clone(), content.record.clone())], ranges: Vec::new() };
                    let gate = Gate { group: newest.clone(), was_sent: content.is_sent };
                    return Some(Joined::Behind(gate, differs));
                }
                if !content.is_sent && content.members < MEMBERS {
                    content.take(write, id);
                    return Some(Joined::Member(newest.clone()));
                }
            }
        }
        // Not after one that has failed, or that has ended with another version than was seen: then others have changed it since.
        let is_base = |group: &Arc<Group>| {
            !matches!(group.outcome.peek(), Some(Err(_))) && !group.is_doomed() && group.content.lock().version() == *version
        };
        let before = newest.clone().filter(is_base);
        group = Arc::new(Group::new(store, *version, write, id, before));
        if groups.insert(key.clone(), Arc::downgrade(&group)).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Some(Joined::Member(group))
    }
}

/// Whether a commit has seen, and changes, one object only.
pub(super) fn is_of_one_object(seen: &Seen, write: &[Write]) -> bool {
    matches!((&*seen.records, &*seen.ranges, write), ([(key, _)], [], [write]) if *key == write.key)
}

impl Group {
    fn new(store: &Store, base: Option<Version>, write: &Write, id: CommitId, before: Option<Arc<Self>>) -> Self {
        let mut content = Content { record: None, base, write: write.clone(), id, members: 0, is_sent: false };
        content.take(write, id);
        let content = Arc::new(Mutex::new(content));
        let has_failed = Arc::new(AtomicBool::new(false));
        let is_doomed = before.as_ref().map(|before| before.has_failed.clone()).unwrap_or_default();
        let outcome = commit(store.clone(), content.clone(), before);
        let failed = has_failed.clone();
        let outcome = outcome.inspect(move |outcome| failed.store(outcome.is_err(), Ordering::Release)).boxed().shared();
        Self { key: write.key.clone(), content, outcome, has_failed, is_doomed, store: store.clone() }
    }

    fn is_doomed(&self) -> bool {
        self.is_doomed.load(Ordering::Acquire)
    }

    /// Whether its outcome is still to come.
    fn is_open(&self) -> bool {
        self.outcome.peek().is_none() && !self.is_doomed()
    }

    /// Commits it, or waits for whoever does.
    pub(super) async fn outcome(&self) -> Outcome {
        self.outcome.clone().await
    }

    pub(super) fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The version that the last of those who read from it have seen, and the one that it is now; `None`, if it has failed.
    pub(super) fn version_after(&self, outcome: &Outcome) -> Option<(Option<Version>, Option<Version>)> {
        Some((self.content.lock().version(), *outcome.as_ref().ok()?))
    }

    /// For those who have seen what it would have been.
    pub(super) fn differs(&self) -> Differs {
        Differs { records: vec![(self.key.clone(), None)], ranges: Vec::new() }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let groups = self.store.groups();
        let mut newest = groups.newest.lock();
        if newest.get(&self.key).is_some_and(|newest| std::ptr::eq(newest.as_ptr(), self)) {
            newest.remove(&self.key);
            groups.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Content {
    fn version(&self) -> Option<Version> {
        self.record.as_ref().map(|record| record.version)
    }

    /// Adds a transaction's change. What was to be written before is not: nobody will ever see it.
    fn take(&mut self, write: &Write, id: CommitId) {
        let version = Version::new(id.0);
        self.record = write.bytes.clone().map(|bytes| Record { version, bytes });
        self.write = write.clone();
        self.id = id;
        self.members += 1;
    }
}

async fn commit(store: Store, content: Arc<Mutex<Content>>, before: Option<Arc<Group>>) -> Outcome {
    let base = match before {
        None => content.lock().base,
        Some(before) => before.outcome().await.map_err(Failed::of_the_next)?,
    };
    let (write, id) = {
        let mut content = content.lock();
        content.is_sent = true;
        (content.write.clone(), content.id)
    };
    let compare = Seen { records: vec![(write.key.clone(), base)], ..Seen::default() };
    let request = Request { compare: &compare, read: &[], write: &[write], id, durability: Durability::Immediate };
    let reply = wait(store.engine().execute(request)).await.map_err(Failed::Error)?;
    if let Some((_, fresh)) = reply.differs.records.into_iter().next() {
        return Err(Failed::Conflict(fresh));
    }
    wait(store.engine().durable(reply.durable_at)).await.map_err(Failed::Error)?;
    let is_there = content.lock().record.is_some();
    Ok(reply.version.filter(|_| is_there))
}
