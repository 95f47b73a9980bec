//! Group commit, on engines that answer later: transactions that work on one object do not wait for each other's answers.
//!
//! While a commit of an object is on its way, the next transaction is given the record that it will leave, and what that one
//! changes is committed together with what others of this process add to it, once the answer is there: a *group* is one
//! minitransaction, and comes after the group before it. What is based on a group that is not committed yet is given to nobody: its
//! transactions wait, and run again if the group is not committed. Only transactions that have seen nothing but this one object
//! take part, so nothing that they see can contradict it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use super::log::wait;
use super::pace::{Pace, wait_of_loser};
use super::shared::SharedFuture;
use crate::durability::Durability;
use crate::engine::{CommitId, Differs, Record, RecordBytes, RecordKey, Request, Seen, Stamp, Version, Write};
use crate::error::{Error, ErrorKind};
use crate::random;
use crate::store::Store;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// How many transactions are committed together at most, so that none waits for too many to run again.
const MEMBERS: usize = 1024;

/// How many groups are kept after they have ended (or twice as many as were on their way, if that is more), and how large records
/// at most.
const KEPT: (usize, usize) = (256, 64 << 10);

/// The newest group of each object that is changed often, in a store.
#[derive(Default)]
pub(crate) struct Groups {
    newest: Mutex<HashMap<RecordKey, Newest>>,
    /// With how many there is to be cleared up next: so that this is not done at each commit while many are on their way.
    full: AtomicU64,
    /// How many there are, so that nobody looks for groups when there are none.
    count: AtomicU64,
    /// How often a group that had lost has asked what its object is instead.
    asked: AtomicU64,
}

struct Newest {
    /// A group that everybody has given up before it has ended goes.
    group: Weak<Group>,
    /// The same, once it is committed.
    kept: Option<Arc<Group>>,
}

/// Transactions on one object that are committed together. It is committed when one of them waits for it, and never if nobody does.
pub(crate) struct Group {
    key: RecordKey,
    content: Arc<Mutex<Content>>,
    outcome: SharedFuture<Outcome>,
    has_failed: Arc<AtomicBool>,
    /// Whether the group before has failed, which means that this one will.
    is_doomed: Arc<AtomicBool>,
}

struct Content {
    /// What the object will be. Its version is the commit's id, which on most engines it will have.
    record: Option<Record>,
    /// What its version will be compared with, if no other group goes before.
    base: Option<Version>,
    write: Write,
    id: CommitId,
    members: usize,
    /// How often one of its members has lost against other processes.
    lost: u32,
    is_sent: bool,
    /// Whether its record was too large to be kept, and is no longer there.
    is_gone: bool,
}

/// What has become of a group.
pub(super) type Outcome = std::result::Result<Left, Failed>;

/// What a group that was committed has left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// The version that its object has now.
    version: Option<Version>,
    pace: Pace,
    /// Whether its record is still there for others to read.
    is_kept: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Failed {
    /// Nothing was committed: the object is this by now, as was asked at this [moment](Groups::moment). It is told to nobody before it is
    /// durable.
    Conflict { fresh: Option<Record>, asked: u64, durable_at: Stamp },
    /// Nothing was sent: what the group before has left is not known.
    NotSent,
    /// The engine's error.
    Error(Error),
    /// The engine's error, after the group was committed.
    NotDurable(Error),
}

impl Failed {
    /// What this makes of a group that comes after the one that has failed.
    fn of_the_next(self) -> Self {
        match self {
            Self::Error(_) | Self::NotDurable(_) => Self::NotSent,
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
    /// What an object will be, if a commit of it is on its way, or was a moment ago.
    pub(super) fn read(&self, store: &Store, key: &RecordKey) -> Option<(Option<Record>, Gate)> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let group = self.newest.lock().get(key)?.group.upgrade()?;
        let is_known = match group.outcome.peek() {
            // Also if it is known to have failed: whoever goes on with it waits until it is time to try again.
            None => !group.outcome.has_panicked(),
            Some(Ok(left)) => left.is_kept && left.pace.is_on(store.clock().now()),
            Some(Err(_)) => false,
        };
        let (record, was_sent, is_gone) = {
            let content = group.content.lock();
            (content.record.clone(), content.is_sent, content.is_gone)
        };
        (is_known && !is_gone).then(|| (record, Gate { group, was_sent }))
    }

    /// Adds a commit to the group of its object, or begins one. `None`, if it has seen anything else.
    /// `lost`: how often it was tried before.
    pub(super) fn join(&self, store: &Store, seen: &Seen, write: &[Write], lost: u32) -> Option<Joined> {
        if !is_of_one_object(seen, write) {
            return None;
        }
        let ((key, version), write) = (&seen.records[0], &write[0]);
        let mut groups = self.newest.lock();
        // It goes without the lock, if this is the last who has it: objects of the user's may go with it.
        let newest = groups.get(key).and_then(|newest| newest.group.upgrade());
        // Not one that has panicked: those who come later begin anew.
        let usable = newest.as_ref().filter(|group| !group.outcome.has_panicked());
        let id = CommitId(random::id());
        if let Some(newest) = usable {
            let mut content = newest.content.lock();
            if newest.is_failing() {
                return Some(Joined::Member(newest.clone()));
            }
            if newest.outcome.peek().is_none() && !content.is_gone {
                if content.version() != *version {
                    let differs = Differs { records: vec![(key.clone(), content.record.clone())], ranges: Vec::new() };
                    let gate = Gate { group: newest.clone(), was_sent: content.is_sent };
                    return Some(Joined::Behind(gate, differs));
                }
                if !content.is_sent && content.members < MEMBERS {
                    content.take(write, id, lost);
                    return Some(Joined::Member(newest.clone()));
                }
            }
        }
        // Not after one that has failed, or that has ended with another version than was seen: then others have changed it since.
        let is_base = |group: &&Arc<Group>| !group.has_failed() && group.content.lock().version() == *version;
        let before = usable.filter(is_base).cloned();
        let group = Arc::new(Group::new(store, *version, (write, id, lost), before));
        let mut gone: Vec<Newest> = Vec::new();
        if groups.len() >= KEPT.0.max(self.full.load(Ordering::Relaxed) as usize) {
            let goes = |newest: &Newest| newest.kept.is_some() || newest.group.strong_count() == 0;
            gone.extend(groups.extract_if(|_, newest| goes(newest)).map(|(_, newest)| newest));
            self.full.store(2 * groups.len() as u64, Ordering::Relaxed);
        }
        gone.extend(groups.insert(key.clone(), Newest { group: Arc::downgrade(&group), kept: None }));
        self.count.store(groups.len() as u64, Ordering::Relaxed);
        // Without the lock: objects of the user's may go with them.
        drop(groups);
        drop(gone);
        Some(Joined::Member(group))
    }

    /// What is asked from now on is asked at a later moment.
    pub(super) fn moment(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn next_moment(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Keeps a group that is committed for those who read its object next.
    pub(super) fn keep(&self, group: &Arc<Group>) {
        // What others may read of it is its record, and that is not there if it is large. It goes without a lock.
        let _written = group.content.lock().write.bytes.take();
        if let Some(newest) = self.newest.lock().get_mut(&group.key)
            && newest.kept.is_none()
            && newest.group.as_ptr() == Arc::as_ptr(group)
        {
            newest.kept = Some(group.clone());
        }
    }

    /// Keeps a group no longer.
    pub(super) fn forget(&self, group: &Arc<Group>) {
        if group.outcome.peek().is_some() {
            self.remove(std::slice::from_ref(&group.key), |newest| newest.group.as_ptr() == Arc::as_ptr(group));
        }
    }

    /// Keeps none of these objects any longer: others have changed one of them since.
    pub(super) fn forget_all(&self, keys: &[RecordKey]) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.remove(keys, |newest| newest.kept.is_some());
        }
    }

    fn remove(&self, keys: &[RecordKey], goes: impl Fn(&Newest) -> bool) {
        let mut gone = Vec::new();
        let mut groups = self.newest.lock();
        for key in keys {
            if groups.get(key).is_some_and(&goes) {
                gone.extend(groups.remove(key));
            }
        }
        self.count.store(groups.len() as u64, Ordering::Relaxed);
        // Without the lock: objects of the user's may go with them.
        drop(groups);
        drop(gone);
    }
}

/// Whether a commit has seen, and changes, one object only.
pub(super) fn is_of_one_object(seen: &Seen, write: &[Write]) -> bool {
    matches!((&*seen.records, &*seen.ranges, write), ([(key, _)], [], [write]) if *key == write.key)
}

impl Group {
    fn new(store: &Store, base: Option<Version>, first: (&Write, CommitId, u32), before: Option<Arc<Self>>) -> Self {
        let (write, id, lost) = first;
        let mut content =
            Content { record: None, base, write: write.clone(), id, members: 0, lost, is_sent: false, is_gone: false };
        content.take(write, id, lost);
        let content = Arc::new(Mutex::new(content));
        let has_failed = Arc::new(AtomicBool::new(false));
        let is_doomed = before.as_ref().map(|before| before.has_failed.clone()).unwrap_or_default();
        let failed = has_failed.clone();
        let committed = commit(store.clone(), content.clone(), before, failed.clone());
        let outcome = SharedFuture::new(async move {
            let outcome = committed.await;
            failed.store(outcome.is_err(), Ordering::Release);
            outcome
        });
        Self { key: write.key.clone(), content, outcome, has_failed, is_doomed }
    }

    /// Whether its outcome is still to come, and will be that it is not committed.
    fn is_failing(&self) -> bool {
        self.outcome.peek().is_none() && (self.has_failed() || self.is_doomed.load(Ordering::Acquire))
    }

    /// Whether it is known by now that it was not committed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Commits it, or waits for whoever does. Where the engine has panicked, nobody knows what has become of it.
    pub(super) async fn outcome(&self) -> Outcome {
        self.outcome.wait().await.unwrap_or_else(|| Err(Failed::Error(panicked())))
    }

    pub(super) fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The version that its record has now, which was seen as `seen`; `None`: what was seen is not so.
    pub(super) fn version_now(&self, seen: Option<Version>, outcome: &Outcome) -> Option<Option<Version>> {
        let left = outcome.as_ref().ok()?;
        (self.content.lock().version() == seen).then_some(left.version)
    }

    /// For those who have seen what it would have been.
    pub(super) fn differs(&self) -> Differs {
        Differs { records: vec![(self.key.clone(), None)], ranges: Vec::new() }
    }
}

fn panicked() -> Error {
    Error::new(
        ErrorKind::Indeterminate,
        "the engine panicked while the commit was on its way; it is not known whether it will last",
    )
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Content {
    fn version(&self) -> Option<Version> {
        self.record.as_ref().map(|record| record.version)
    }

    /// Adds a transaction's change. What was to be written before is not: nobody will ever see it.
    fn take(&mut self, write: &Write, id: CommitId, lost: u32) {
        let version = Version::new(id.0);
        self.record = write.bytes.clone().map(|bytes| Record { version, bytes });
        self.write = write.clone();
        self.id = id;
        self.members += 1;
        self.lost = self.lost.max(lost);
    }
}

async fn commit(store: Store, content: Arc<Mutex<Content>>, before: Option<Arc<Group>>, has_failed: Arc<AtomicBool>) -> Outcome {
    let (base, pace) = match before {
        None => (content.lock().base, None),
        Some(before) => {
            let left = before.outcome().await.map_err(Failed::of_the_next)?;
            (left.version, left.pace.next(store.clock()).await)
        }
    };
    let (write, id, lost) = {
        let mut content = content.lock();
        content.is_sent = true;
        (content.write.clone(), content.id, content.lost)
    };
    let start = store.clock().now();
    let pace = pace.unwrap_or_else(|| Pace::new(start, lost > 0));
    let compare = Seen { records: vec![(write.key.clone(), base)], ..Seen::default() };
    let request =
        Request { compare: &compare, read: &[], write: std::slice::from_ref(&write), id, durability: Durability::Immediate };
    let reply = wait(store.engine().execute(request)).await.map_err(Failed::Error)?;
    let round = store.clock().now().saturating_sub(start);
    if !reply.differs.is_empty() {
        has_failed.store(true, Ordering::Release);
        store.clock().delay(random::below(wait_of_loser(round))).await;
        let asked = store.groups().next_moment();
        let keys = [write.key.clone()];
        let request = Request { compare: Seen::NOTHING, read: &keys, write: &[], ..request };
        let reply = wait(store.engine().execute(request)).await.map_err(Failed::Error)?;
        let fresh = reply.read.into_iter().next().flatten();
        return Err(Failed::Conflict { fresh, asked, durable_at: reply.durable_at });
    }
    wait(store.engine().durable(reply.durable_at)).await.map_err(Failed::NotDurable)?;
    let mut content = content.lock();
    let is_kept = content.record.as_ref().is_none_or(|record| record.bytes.len() <= KEPT.1);
    let version = reply.version.filter(|_| content.record.is_some());
    if let (Some(record), false) = (&mut content.record, is_kept) {
        record.bytes = RecordBytes::default();
        content.is_gone = true;
    }
    Ok(Left { version, pace: pace.won(round, store.clock().now()), is_kept })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Stamp};

    /// Commits everything, and keeps nothing.
    struct Nowhere;

    impl Engine for Nowhere {
        fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
            let version = Some(Version::new(request.id.0));
            let (stamp, durable_at) = (Stamp(1), Stamp(1));
            Answer::Ready(Ok(Reply { read: Vec::new(), differs: Differs::default(), version, stamp, durable_at }))
        }

        fn scan<'a>(&'a self, _: &'a Seen, range: &'a KeyRange, _: usize) -> Answer<'a, Page> {
            let (differs, stamp, durable_at) = (Differs::default(), Stamp(1), Stamp(1));
            Answer::Ready(Ok(Page { records: Vec::new(), range: range.clone(), differs, stamp, durable_at }))
        }

        fn watch<'a>(&'a self, _: &'a Seen) -> Answer<'a, ()> {
            Answer::Ready(Ok(()))
        }

        fn durable(&self, _: Stamp) -> Answer<'_, ()> {
            Answer::Ready(Ok(()))
        }

        fn limits(&self) -> Limits {
            Limits::NONE
        }
    }

    /// Commits a record of so many bytes as a group; whether anybody still has it then.
    fn is_kept(bytes: usize) -> bool {
        let store = Store::with_engine(Nowhere);
        let (key, bytes, object) = (RecordKey::new(*b"key"), RecordBytes::from(vec![0; bytes]), Arc::new(()));
        bytes.keep(object.clone());
        let seen = Seen { records: vec![(key.clone(), None)], ..Seen::default() };
        let joined = store.groups().join(&store, &seen, &[Write { key, bytes: Some(bytes) }], 0);
        let Some(Joined::Member(group)) = joined else { panic!("a commit of one object has a group") };
        let outcome = pin!(group.outcome()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(outcome, Poll::Ready(Ok(_))), "the engine answers at once, and commits");
        store.groups().keep(&group);
        drop(group);
        Arc::strong_count(&object) > 1
    }

    #[test]
    fn a_large_record_is_not_kept_with_what_its_group_has_left() {
        assert!(is_kept(KEPT.1));
        assert!(!is_kept(1 << 20));
    }
}
