//! What an attempt in a future has been answered, so that its body can be run again from the beginning without asking again.
//!
//! A body cannot wait. Where the engine does not answer at once, the body ends with an error that nobody sees, the future waits for
//! the answer, and the body is run again: up to the same place, it is answered from here. Every answer is of an instant at which all
//! earlier ones were found current, so that what a body sees was current together.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::conflict::Fresh;
use super::group::{Gate, Outcome};
use crate::durability::Durability;
use crate::engine::{
    Answer, CommitId, Differs, Engine, KeyRange, Page, Record, RecordKey, Reply, Request, Seen, SeenRange, Stamp, Write,
};
use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::store::Store;

/// A call of the engine that could not be answered at once.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Reads records, consistently with all that was answered before.
    Read(Vec<RecordKey>),
    /// Reads a page, consistently with all that was answered before.
    Scan { range: KeyRange, limit: usize, with_objects: bool },
    /// Something on its own: reads or writes the schemas of a type.
    Alone { compare: Seen, read: Vec<RecordKey>, write: Vec<Write>, id: CommitId },
}

/// The answers of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Log {
    content: RefCell<Content>,
    reads_groups: bool,
}

#[derive(Debug, Default)]
struct Content {
    records: HashMap<RecordKey, Option<Record>>,
    /// Those of them that the body has not asked for. It may never do so, and then they are none of its business.
    guessed: HashSet<RecordKey>,
    pages: Vec<(Call, Page)>,
    /// Used once each: what they were is kept elsewhere.
    alone: Vec<(Call, Reply)>,
    /// What cannot be read. The body is told, as one that waits would be: it knows which objects it has asked for.
    unreadable: Vec<(Call, Error)>,
    /// All records and pages, as the engine is asked to compare them.
    seen: Seen,
    durable_at: Stamp,
    /// Not committed yet, and all that was read is from it.
    gate: Option<Gate>,
    pending: Option<Call>,
    /// What the last request found changed. What was answered before it is answered again, and the next thing that is asked for
    /// ends the attempt: by then it knows all objects that this is about.
    differs: Option<Differs>,
}

impl Log {
    /// `reads_groups`: also what is not committed yet.
    pub(super) fn new(reads_groups: bool) -> Self {
        Self { reads_groups, ..Self::default() }
    }

    /// What has to be asked before the body can go on.
    pub(super) fn take_pending(&self) -> Option<Call> {
        self.content.borrow_mut().pending.take()
    }

    /// Whether the body was ended because something has to be asked.
    pub(super) fn is_pending(&self) -> bool {
        self.content.borrow().pending.is_some()
    }

    /// Has the future ask before the body is run on.
    pub(super) fn suspend(&self, call: Call) -> Error {
        self.content.borrow_mut().pending.get_or_insert(call);
        suspended()
    }

    /// Takes note that the engine cannot read what a call has asked for.
    pub(super) fn cannot_read(&mut self, call: Call, error: Error) {
        self.content.get_mut().unreadable.push((call, error));
    }

    /// Takes note that these were read before the body has asked for them.
    pub(super) fn guessed(&mut self, keys: Vec<RecordKey>) {
        let content = self.content.get_mut();
        content.guessed.extend(keys.into_iter().filter(|key| content.records.contains_key(key)));
    }

    /// All keys that were read and asked for. Others would also keep the next attempt from reading what a group will leave.
    pub(super) fn keys(&self) -> Vec<RecordKey> {
        let content = self.content.borrow();
        let keys = content.seen.records.iter().map(|(key, _)| key);
        keys.filter(|key| !content.guessed.contains(*key)).cloned().collect()
    }

    /// Whether nothing was answered yet.
    pub(super) fn is_empty(&self) -> bool {
        let content = self.content.borrow();
        content.seen.records.is_empty() && content.pages.is_empty() && content.unreadable.is_empty()
    }

    /// The records of `keys`, if they are known or the engine answers at once.
    pub(super) fn read(&self, store: &Store, keys: &[RecordKey]) -> Result<Reply> {
        let missing = self.content.borrow().missing(keys);
        let is_known = missing.is_empty();
        if !is_known && !self.read_from_group(store, &missing) {
            self.ask(store.engine(), Call::Read(missing))?;
        }
        let mut content = self.content.borrow_mut();
        content.asked(keys);
        let read = keys.iter().map(|key| content.records.get(key).cloned().flatten()).collect();
        let differs = content.differs.clone().filter(|_| !is_known).unwrap_or_default();
        Ok(Reply { read, differs, version: None, stamp: content.seen.stamp, durable_at: content.durable_at })
    }

    /// Reads from a group, if that is all that is asked for; whether it was.
    pub(super) fn read_from_group(&self, store: &Store, keys: &[RecordKey]) -> bool {
        let ([key], true) = (keys, self.reads_groups && self.is_empty()) else { return false };
        let Some((record, gate)) = store.groups().read(store, key) else { return false };
        let mut content = self.content.borrow_mut();
        content.add(key, record);
        content.gate = Some(gate);
        true
    }

    /// Takes what the only object is known to be for read; whether it was.
    pub(super) fn takes(&self, fresh: Option<Fresh>, keys: &[RecordKey]) -> bool {
        let ([key], Some(fresh)) = (keys, fresh) else { return false };
        let is_it = *key == fresh.key;
        if is_it {
            let mut content = self.content.borrow_mut();
            content.durable_at = content.durable_at.max(fresh.durable_at);
            content.add(key, fresh.record);
        }
        is_it
    }

    /// The group that was read from.
    pub(super) fn gate(&self) -> Option<Gate> {
        self.content.borrow().gate.clone()
    }

    /// A page, if it is known or the engine answers at once.
    pub(super) fn scan(&self, engine: &dyn Engine, range: &KeyRange, limit: usize, with_objects: bool) -> Result<Page> {
        let call = Call::Scan { range: range.clone(), limit, with_objects };
        let find = || self.content.borrow().pages.iter().find(|(known, _)| known.is(&call)).map(|(_, page)| page.clone());
        if let Some(page) = find() {
            return Ok(page);
        }
        self.ask(engine, call.clone())?;
        Ok(find().unwrap_or_else(|| {
            let content = self.content.borrow();
            let (differs, stamp) = (content.differs.clone().unwrap_or_default(), content.seen.stamp);
            Page { records: Vec::new(), range: range.clone(), differs, stamp, durable_at: content.durable_at }
        }))
    }

    /// Asks for something that is not known, unless it is known that the attempt cannot go on; an error, if the future has to wait.
    fn ask(&self, engine: &dyn Engine, call: Call) -> Result<()> {
        self.check_readable(&call)?;
        if self.content.borrow().differs.is_some() || self.ask_now(engine, &call)? { Ok(()) } else { Err(self.suspend(call)) }
    }

    /// Something on its own, if it was answered or is now.
    pub(crate) fn alone(&self, engine: &dyn Engine, compare: &Seen, read: &[RecordKey], write: &[Write]) -> Result<Reply> {
        let id = CommitId(random::id());
        let call = Call::Alone { compare: compare.clone(), read: read.to_vec(), write: write.to_vec(), id };
        let take = || {
            let alone = &mut self.content.borrow_mut().alone;
            let found = alone.iter().position(|(known, _)| known.is(&call))?;
            Some(alone.swap_remove(found).1)
        };
        if let Some(reply) = take() {
            return Ok(reply);
        }
        self.check_readable(&call)?;
        if !self.ask_now(engine, &call)? {
            return Err(self.suspend(call));
        }
        take().ok_or_else(|| self.suspend(call.clone()))
    }

    fn check_readable(&self, call: &Call) -> Result<()> {
        let content = self.content.borrow();
        content.unreadable.iter().find(|(known, _)| known.is(call)).map_or(Ok(()), |(_, error)| Err(error.clone()))
    }

    /// Asks; whether the engine has answered at once.
    fn ask_now(&self, engine: &dyn Engine, call: &Call) -> Result<bool> {
        // A group may give its record another version when it is committed, so it is waited for first.
        if self.content.borrow().gate.is_some() && !matches!(call, Call::Alone { .. }) {
            return Ok(false);
        }
        let seen = std::mem::take(&mut self.content.borrow_mut().seen);
        let answered = match call.send(engine, &seen) {
            Sent::Reply(answer) => ready(answer).map(|reply| reply.map(Answered::Reply)),
            Sent::Page(answer) => ready(answer).map(|page| page.map(Answered::Page)),
        };
        self.content.borrow_mut().seen = seen;
        let Some(answered) = answered else { return Ok(false) };
        if self.note(call, answered?) { Ok(true) } else { self.ask_now(engine, call) }
    }

    /// Asks and waits, in the future.
    pub(super) async fn perform(&mut self, engine: &dyn Engine, call: Call) -> Result<()> {
        let gate = if matches!(call, Call::Alone { .. }) { None } else { self.content.get_mut().gate.take() };
        if let Some(gate) = gate {
            let outcome = gate.group.outcome().await;
            if !self.content.get_mut().settled(&gate, &outcome) {
                return Ok(());
            }
        }
        // Taken out, so that nothing but this is borrowed while it waits.
        let seen = std::mem::take(&mut self.content.get_mut().seen);
        let answered = match call.send(engine, &seen) {
            Sent::Reply(answer) => wait(answer).await.map(Answered::Reply),
            Sent::Page(answer) => wait(answer).await.map(Answered::Page),
        };
        self.content.get_mut().seen = seen;
        // If that was no answer, the body asks again.
        self.note(&call, answered?);
        Ok(())
    }

    /// Whether that was an answer. Where a guess was wrong, a page is not read, and has to be asked for again.
    fn note(&self, call: &Call, answered: Answered) -> bool {
        let content = &mut *self.content.borrow_mut();
        match (call, answered) {
            (Call::Read(keys), Answered::Reply(reply)) => {
                if content.advance(reply.stamp, reply.durable_at, reply.differs) {
                    keys.iter().zip(reply.read).for_each(|(key, record)| content.add(key, record));
                }
            }
            (Call::Scan { with_objects, .. }, Answered::Page(page)) => {
                let is_read = page.differs.is_empty();
                if !content.advance(page.stamp, page.durable_at, page.differs.clone()) || !is_read {
                    return content.differs.is_some();
                }
                let keys = page.records.iter().map(|(key, _)| key.clone()).collect();
                content.seen.ranges.push(SeenRange { range: page.range.clone(), keys });
                if *with_objects {
                    page.records.iter().for_each(|(key, record)| content.add(key, Some(record.clone())));
                }
                content.pages.push((call.clone(), page));
            }
            (call, Answered::Reply(reply)) => content.alone.push((call.clone(), reply)),
            (_, Answered::Page(_)) => {}
        }
        true
    }
}

impl Content {
    /// Notes how current everything is; whether all of it is.
    fn advance(&mut self, stamp: Stamp, durable_at: Stamp, differs: Differs) -> bool {
        self.durable_at = self.durable_at.max(durable_at);
        let is_current = self.note_differs(differs);
        if is_current {
            self.seen.stamp = stamp;
        }
        is_current
    }

    /// Forgets what was only guessed; whether nothing else has changed.
    fn note_differs(&mut self, mut differs: Differs) -> bool {
        differs.records.retain(|(key, _)| !self.forget_guess(key));
        let is_current = differs.is_empty();
        if !is_current {
            self.differs = Some(differs);
        }
        is_current
    }

    fn forget_guess(&mut self, key: &RecordKey) -> bool {
        let is_guess = self.guessed.remove(key);
        if is_guess {
            self.records.remove(key);
            self.seen.records.retain(|(seen, _)| seen != key);
        }
        is_guess
    }

    /// What has to be asked for to know all of `keys`, if anything. With it, what was guessed is read again: it may change meanwhile.
    fn missing(&self, keys: &[RecordKey]) -> Vec<RecordKey> {
        if keys.iter().all(|key| self.records.contains_key(key)) {
            return Vec::new();
        }
        let is_known = |key: &RecordKey| self.records.contains_key(key) && !self.guessed.contains(key);
        keys.iter().filter(|key| !is_known(key)).cloned().collect()
    }

    /// These are guesses no longer.
    fn asked(&mut self, keys: &[RecordKey]) {
        if !self.guessed.is_empty() {
            keys.iter().for_each(|key| _ = self.guessed.remove(key));
        }
    }

    /// As `Attempt::settled`; whether what was read is so.
    fn settled(&mut self, gate: &Gate, outcome: &Outcome) -> bool {
        let key = gate.group.key();
        let seen = self.seen.records.iter_mut().find(|(seen, _)| seen == key);
        if let Some((_, seen)) = seen
            && let Some(version) = gate.group.version_now(*seen, outcome)
        {
            *seen = version;
            if let (Some(Some(record)), Some(version)) = (self.records.get_mut(key), version) {
                record.version = version;
            }
            return true;
        }
        self.note_differs(gate.group.differs())
    }

    fn add(&mut self, key: &RecordKey, record: Option<Record>) {
        self.guessed.remove(key);
        if !self.records.contains_key(key) {
            // Asked for before, and not needed: another transaction has found it out meanwhile. The record may follow a newer schema.
            self.alone.clear();
            self.seen.records.push((key.clone(), record.as_ref().map(|record| record.version)));
            self.records.insert(key.clone(), record);
        }
    }
}

enum Answered {
    Reply(Reply),
    Page(Page),
}

/// What the engine answers to a call.
enum Sent<'a> {
    Reply(Answer<'a, Reply>),
    Page(Answer<'a, Page>),
}

impl Call {
    fn send<'a>(&'a self, engine: &'a dyn Engine, seen: &'a Seen) -> Sent<'a> {
        match self {
            Self::Read(keys) => Sent::Reply(engine.execute(request(seen, keys, &[], CommitId(0)))),
            Self::Scan { range, limit, .. } => Sent::Page(engine.scan(seen, range, *limit)),
            Self::Alone { compare, read, write, id } => Sent::Reply(engine.execute(request(compare, read, write, *id))),
        }
    }

    /// Whether both ask for the same.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read(one), Self::Read(other)) => one == other,
            (Self::Scan { range, limit, with_objects }, Self::Scan { range: r, limit: l, with_objects: w }) => {
                range == r && limit == l && with_objects == w
            }
            (Self::Alone { read, write, .. }, Self::Alone { read: r, write: w, .. }) => {
                read == r
                    && write.len() == w.len()
                    && write.iter().zip(w).all(|(one, other)| one.key == other.key && one.bytes == other.bytes)
            }
            _ => false,
        }
    }
}

fn request<'a>(compare: &'a Seen, read: &'a [RecordKey], write: &'a [Write], id: CommitId) -> Request<'a> {
    Request { compare, read, write, id, durability: Durability::Eventual }
}

fn ready<T>(answer: Answer<'_, T>) -> Option<Result<T>> {
    match answer {
        Answer::Ready(result) => Some(result),
        Answer::Later(_) | Answer::Committing(_) => None,
    }
}

/// Waits for an answer.
pub(super) async fn wait<T>(answer: Answer<'_, T>) -> Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(future) | Answer::Committing(future) => future.await,
    }
}

/// What a body is told that has to be run again once the engine has answered.
pub(super) fn suspended() -> Error {
    Error::new(ErrorKind::Conflict, "the body is run again when the engine has answered")
}
