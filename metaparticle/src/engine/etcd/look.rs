//! What is read before, or instead of, a commit: everything at one revision of the store, however many requests that takes.

use etcd_client::{GetOptions, GetResponse, KeyValue, Txn, TxnOp, TxnOpResponse, TxnResponse};

use super::OPERATIONS;
use super::connection::Connection;
use super::keys::Keys;
use crate::engine::remote::{Ask, Failure, Found, Told};
use crate::engine::{Differs, Record, RecordKey, Stamp, Version};
use crate::error::{Error, ErrorKind};

/// With more than so many records to compare, it is worth a request to find out that there is no need to.
const MANY: usize = 16;

/// What was found, and the revision at which all of it was current together.
pub(super) struct Look {
    pub(super) found: Found,
    pub(super) revision: i64,
}

impl Look {
    pub(super) fn told(self) -> Result<Told, Failure> {
        Ok(Told::At(stamp_of(self.revision)?, self.found))
    }
}

/// Compares and reads what `ask` says; writes nothing.
pub(super) async fn look(connection: &Connection, keys: &Keys, ask: &Ask) -> Result<Look, Failure> {
    if ask.compare.records.len() > MANY {
        // If nothing at all has changed since everything was last found current, there is nothing to compare.
        let mut gets = reads(keys, ask);
        if gets.is_empty() {
            gets.push((keys.format(), GetOptions::new()));
        }
        let (answers, revision) = at_one_revision(connection, gets).await?;
        if stamp_of(revision)? == ask.compare.stamp {
            return Ok(Look { found: read_of(keys, ask, &mut answers.into_iter())?, revision });
        }
    }
    let mut gets = Vec::new();
    for (key, seen) in &ask.compare.records {
        // A record that is current has no newer revision: then it is counted, and its bytes are not sent.
        let newer = seen.and_then(revision_of).map_or(0, |revision| revision + 1);
        gets.push((keys.record(key), GetOptions::new().with_min_mod_revision(newer)));
    }
    for seen in &ask.compare.ranges {
        let (start, end) = (keys.record(&seen.range.start), keys.record(&seen.range.end));
        gets.push((start, GetOptions::new().with_range(end).with_keys_only()));
    }
    gets.extend(reads(keys, ask));
    let (answers, revision) = at_one_revision(connection, gets).await?;
    Ok(Look { found: found(keys, ask, answers)?, revision })
}

/// Reads only what `ask` reads.
pub(super) async fn read(connection: &Connection, keys: &Keys, ask: &Ask) -> Result<Found, Failure> {
    let (answers, _) = at_one_revision(connection, reads(keys, ask)).await?;
    read_of(keys, ask, &mut answers.into_iter())
}

/// The reads of records, then that of a page.
fn reads(keys: &Keys, ask: &Ask) -> Vec<(Vec<u8>, GetOptions)> {
    let mut gets: Vec<_> = ask.read.iter().map(|key| (keys.record(key), GetOptions::new())).collect();
    if let Some((range, limit)) = &ask.page {
        let (start, end) = (keys.record(&range.start), keys.record(&range.end));
        let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
        gets.push((start, GetOptions::new().with_range(end).with_limit(limit)));
    }
    gets
}

/// The first request finds the revision, by asking the leader; those after it read at that revision.
async fn at_one_revision(connection: &Connection, gets: Vec<(Vec<u8>, GetOptions)>) -> Result<(Vec<GetResponse>, i64), Failure> {
    let (mut answers, mut revision) = (Vec::with_capacity(gets.len()), 0);
    let mut gets = gets.into_iter().peekable();
    while gets.peek().is_some() {
        let mut some: Vec<_> =
            gets.by_ref().take(OPERATIONS).map(|(key, options)| (key, options.with_revision(revision))).collect();
        let (some, header) = match (some.len(), some.pop()) {
            (1, Some((key, options))) => {
                let mut answer = connection.get(key, options).await?;
                let header = answer.take_header();
                (vec![answer], header)
            }
            (_, last) => {
                let gets = some.into_iter().chain(last).map(|(key, options)| TxnOp::get(key, Some(options)));
                let mut answer = connection.txn(Txn::new().and_then(gets.collect::<Vec<_>>())).await?;
                let header = answer.take_header();
                (gets_of(&answer), header)
            }
        };
        if revision == 0 {
            revision = header.ok_or_else(|| corrupt("an answer has no revision"))?.revision();
        }
        answers.extend(some);
    }
    Ok((answers, revision))
}

/// All answers to reads, in their order, also of transactions within.
pub(super) fn gets_of(answer: &TxnResponse) -> Vec<GetResponse> {
    let mut gets = Vec::new();
    for answer in answer.op_responses() {
        match answer {
            TxnOpResponse::Get(get) => gets.push(get),
            TxnOpResponse::Txn(within) => gets.extend(gets_of(&within)),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) => {}
        }
    }
    gets
}

/// What the answers to a look say, which come in the order of its questions.
pub(super) fn found(keys: &Keys, ask: &Ask, answers: Vec<GetResponse>) -> Result<Found, Failure> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().ok_or_else(|| corrupt("an answer is incomplete"));
    let mut differs = Differs::default();
    for (key, seen) in &ask.compare.records {
        let mut answer = next()?;
        match answer.take_kvs().pop() {
            Some(record) => {
                let record = record_of(record)?;
                if Some(record.version) != *seen {
                    differs.records.push((key.clone(), Some(record)));
                }
            }
            None if answer.count() == 0 && seen.is_some() => differs.records.push((key.clone(), None)),
            None => {}
        }
    }
    for (index, seen) in ask.compare.ranges.iter().enumerate() {
        let answer = next()?;
        let there = answer.kvs().iter().map(|record| keys.key_of(record.key()));
        if !there.eq(seen.keys.iter().map(|key| Some(&**key))) {
            differs.ranges.push(index);
        }
    }
    Ok(Found { differs, ..read_of(keys, ask, &mut answers)? })
}

/// What the answers to [`reads`] say.
pub(super) fn read_of(keys: &Keys, ask: &Ask, answers: &mut impl Iterator<Item = GetResponse>) -> Result<Found, Failure> {
    let mut next = || answers.next().ok_or_else(|| corrupt("an answer is incomplete"));
    let read = ask.read.iter().map(|_| next()?.take_kvs().pop().map(record_of).transpose()).collect::<Result<_, _>>()?;
    let mut page = Vec::new();
    if ask.page.is_some() {
        for record in next()?.take_kvs() {
            let key = RecordKey::new(keys.key_of(record.key()).ok_or_else(|| corrupt("an answer to another question"))?);
            page.push((key, record_of(record)?));
        }
    }
    Ok(Found { read, page, ..Found::default() })
}

fn record_of(found: KeyValue) -> Result<Record, Failure> {
    // The revision that its last change has made: no other change ever makes the same.
    let version = Version::new(stamp_of(found.mod_revision())?.0.into());
    Ok(Record { version, bytes: found.into_key_value().1.into() })
}

/// The store's revision counts its changes.
pub(super) fn stamp_of(revision: i64) -> Result<Stamp, Failure> {
    u64::try_from(revision).map(Stamp).map_err(|_| corrupt("a revision is negative"))
}

/// The revision that a version is; none that this engine has given is anything else.
pub(super) fn revision_of(version: Version) -> Option<i64> {
    i64::try_from(version.number()).ok()
}

pub(super) fn corrupt(what: &str) -> Failure {
    Failure::Final(Error::new(ErrorKind::Corrupt, format!("the server's answer is not what was asked for: {what}")))
}
