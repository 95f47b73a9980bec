//! The narrow waist: what keeps records, and the contract that it keeps.
//!
//! Everything above (typed objects, tracking, retry, nesting, rebase) does not know which engine is below. An engine has one
//! essential operation, the *minitransaction* [`Engine::execute`]; [`scan`](Engine::scan) reads ranges with the same
//! consistency, [`watch`](Engine::watch) waits for a change, [`durable`](Engine::durable) waits for the disk.
//!
//! What can be seen of the contract in a running engine is checked by the suite in `metaparticle::conformance` (feature
//! `conformance`), which engines of other crates can run too.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::durability::Durability;

mod bytes;
pub(crate) mod embedded;
#[cfg(feature = "etcd")]
pub(crate) mod etcd;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "etcd", feature = "mysql", feature = "postgres", feature = "redis"))]
pub(crate) mod remote;
mod subscription;
pub(crate) mod url;

pub use self::bytes::{RecordBytes, RecordKey};
pub use self::subscription::{Hint, Subscription, Watchers};

/// The state of one record, compared only for equality. An engine never uses one twice for the same key, not even when the
/// record was removed in between.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Version(u128);

impl Version {
    /// A version of an engine's own making.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// The number given to [`new`](Version::new).
    pub const fn number(self) -> u128 {
        self.0
    }
}

/// An object's stored form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which state of the object this is.
    pub version: Version,
    /// The object, as `docs/design.md` describes byte by byte. Engines do not look into it.
    pub bytes: RecordBytes,
}

/// Record keys from `start` up to, and without, `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// The first key of the range.
    pub start: RecordKey,
    /// The first key after the range.
    pub end: RecordKey,
}

impl KeyRange {
    /// The range of this key alone.
    pub fn only(key: &RecordKey) -> Self {
        Self { start: key.clone(), end: key.next() }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && *key < *self.end
    }
}

/// A range and the keys that had a record in it, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenRange {
    /// The range.
    pub range: KeyRange,
    /// All keys in it that had a record.
    pub keys: Vec<RecordKey>,
}

/// A point in an engine's own history, such as a commit number: larger is later. Zero is the beginning, and all that an
/// engine without such numbers ever says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Stamp(pub u64);

/// What an attempt has seen so far, as the engine is asked to compare it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Keys with the version seen; `None`: there was no record. No key comes twice.
    pub records: Vec<(RecordKey, Option<Version>)>,
    /// Ranges with the keys seen.
    pub ranges: Vec<SeenRange>,
    /// The engine's own stamp of when all of it was last found current together. An engine may use it to compare less.
    pub stamp: Stamp,
}

impl Seen {
    /// Nothing was seen, so nothing is compared.
    pub const NOTHING: &'static Self = &Self { records: Vec::new(), ranges: Vec::new(), stamp: Stamp(0) };

    /// All of it as ranges of keys, for [`Engine::subscribe`].
    pub fn watched(&self) -> Vec<KeyRange> {
        let records = self.records.iter().map(|(key, _)| KeyRange::only(key));
        records.chain(self.ranges.iter().map(|seen| seen.range.clone())).collect()
    }
}

/// One record to write or, with `None`, to remove.
#[derive(Clone, Debug)]
pub struct Write {
    /// The record's key.
    pub key: RecordKey,
    /// Its new bytes.
    pub bytes: Option<RecordBytes>,
}

/// Names one commit, so that an engine that gets no answer can find out what became of it. Random, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CommitId(pub u128);

/// A minitransaction.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What must still be current.
    pub compare: &'a Seen,
    /// Records to return, whether or not `compare` holds.
    pub read: &'a [RecordKey],
    /// Records to change if `compare` holds. No key comes twice.
    pub write: &'a [Write],
    /// The commit's name; meaningful when there is something to write.
    pub id: CommitId,
    /// When the caller means to be told that it is done. An engine may be stricter.
    pub durability: Durability,
}

/// The answer to a minitransaction.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The records of `read`, in its order, current at the instant of the comparison.
    pub read: Vec<Option<Record>>,
    /// Empty: `compare` held and the writes were made. Otherwise nothing was written.
    pub differs: Differs,
    /// The version that the written records have now.
    pub version: Option<Version>,
    /// When this was.
    pub stamp: Stamp,
    /// Results based on this reply may be given away once [`Engine::durable`] has answered for this stamp.
    pub durable_at: Stamp,
}

/// What a comparison found changed.
#[derive(Clone, Debug, Default)]
pub struct Differs {
    /// Keys whose version differs, each with its current record.
    pub records: Vec<(RecordKey, Option<Record>)>,
    /// Indices into [`Seen::ranges`] whose keys differ.
    pub ranges: Vec<usize>,
}

impl Differs {
    /// Whether everything compared was current.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.ranges.is_empty()
    }
}

/// One page of a scan.
#[derive(Clone, Debug)]
pub struct Page {
    /// Records in key order, at most as many as asked for, and fewer where an engine ends the page early.
    pub records: Vec<(RecordKey, Record)>,
    /// What was read: from the start of the range to its end or, when the page ended before, to where it ended.
    pub range: KeyRange,
    /// Not empty: something seen before has changed, and `records` is empty.
    pub differs: Differs,
    /// As in [`Reply`].
    pub stamp: Stamp,
    /// As in [`Reply`].
    pub durable_at: Stamp,
}

/// What an engine can take. Checked before a commit is sent; the error names the object or, where it is all together, the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a record key.
    pub key_bytes: usize,
    /// Bytes of a record.
    pub record_bytes: usize,
    /// Bytes of all keys and records written by one commit.
    pub commit_bytes: usize,
    /// Records written by one commit.
    pub commit_records: usize,
}

impl Limits {
    /// Limits so large that none is met.
    pub const NONE: Self =
        Self { key_bytes: usize::MAX, record_bytes: usize::MAX, commit_bytes: usize::MAX, commit_records: usize::MAX };
}

/// An answer that is there at once, as embedded engines give it, or later, as networked ones do.
pub enum Answer<'a, T> {
    /// The answer.
    Ready(Result<T>),
    /// A future that brings it. Nothing is sent before it is first polled. Dropping it afterwards gives up waiting; it does not
    /// undo what was sent.
    Later(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
    /// As [`Later`](Answer::Later), of a commit that is handed over when the future is first polled: whoever gives up waiting
    /// after that does not know its outcome.
    Committing(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
}

impl<T> fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Answer::Ready",
            Self::Later(_) => "Answer::Later",
            Self::Committing(_) => "Answer::Committing",
        })
    }
}

/// What keeps records.
///
/// # Obligations
///
/// - **One instant.** [`execute`](Engine::execute) compares, reads and writes as if nothing else happened meanwhile. All
///   replies of all clients of one engine fit one order that agrees with real time. If an engine breaks this, updates are lost.
/// - **All or nothing.** The writes of a request all last or none does, also over a crash.
/// - **Versions never repeat** for a key, over remove, insert and restart. If they do, a change in between goes unnoticed.
/// - **No guesses.** An engine answers only what it knows. When a server does not reply, the engine settles the outcome with
///   the [`CommitId`] before it answers; what cannot be settled is an error with [`is_indeterminate`](crate::Error::is_indeterminate).
///   It MUST NOT send a commit again whose outcome is open, unless the repetition cannot apply twice.
/// - **Errors mean nothing was written**, unless they are indeterminate.
/// - **Bad bytes are errors**, never panics, and nothing is overwritten because of them.
pub trait Engine: Send + Sync + 'static {
    /// At one instant: if everything in `compare` is current, make the writes; in either case return the records of `read`,
    /// and those that differ.
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply>;

    /// At one instant: if everything in `compare` is current, read up to `limit` records of `range` in key order.
    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page>;

    /// Answers once something in `compare` is no longer current. It may answer too early, never too late.
    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()>;

    /// Hints of what changes in `ranges` from now on. An engine that does not know what others change leaves this as it is: then
    /// whoever watches looks again and again. See [`Watchers`], which a subscription is made by.
    fn subscribe(&self, ranges: &[KeyRange]) -> Subscription {
        let _ = ranges;
        Subscription::untold()
    }

    /// Answers once every commit up to `stamp` survives a power cut. An engine that answers `execute` only then is ready.
    fn durable(&self, stamp: Stamp) -> Answer<'_, ()>;

    /// Whether everything up to `stamp` survives a power cut, or does within a moment, which this thread waits without being
    /// put to sleep. An engine tries where that saves the time that it takes to wake it.
    fn durable_soon(&self, stamp: Stamp) -> bool {
        let _ = stamp;
        false
    }

    /// What it can take.
    fn limits(&self) -> Limits;

    /// Called at the end of each transaction: drops the objects that it has kept with records and keeps no longer. What they do then is
    /// code of the user's, and may run transactions.
    fn let_go(&self) {}

    /// What about its settings keeps less than is promised, in sentences; see [`Store::warnings`](crate::Store::warnings).
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
