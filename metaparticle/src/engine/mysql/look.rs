//! What a minitransaction looks at before anything is decided: as SQL, and what that has brought.

use std::collections::{BTreeMap, HashMap};

use mysql_async::{Row, Value};

use super::sql::{Lock, Sql, groups, is_small};
use crate::engine::remote::{Ask, Failure, Found};
use crate::engine::{Differs, Record, RecordBytes, RecordKey, Version};
use crate::error::{Error, ErrorKind};

/// What one `ask` looks at.
pub(super) struct Look<'a> {
    pub(super) ask: &'a Ask,
    pub(super) sql: &'a Sql,
    /// The keys to compare and to read, in order.
    keys: Vec<(&'a [u8], Key)>,
    /// What is compared as absent and will be written is inserted instead: then the insertion compares. A lock on the gap where a
    /// key is absent would let others in, who then would wait for each other.
    pub(super) presumed_absent: Vec<(&'a [u8], &'a [u8])>,
}

struct Key {
    lock: Lock,
    /// If it still has this version, its bytes are not wanted.
    current: Option<Version>,
}

impl<'a> Look<'a> {
    /// Everything that `ask` compares and reads; unless it is `hopeful`, also what may be presumed to be absent.
    pub(super) fn new(ask: &'a Ask, sql: &'a Sql, hopeful: bool) -> Self {
        let written: HashMap<&[u8], Option<&[u8]>> =
            ask.write.iter().map(|write| (&*write.key, write.bytes.as_deref())).collect();
        let mut keys = BTreeMap::new();
        for key in &ask.read {
            keys.insert(&**key, None);
        }
        let mut presumed_absent = Vec::new();
        for (key, version) in &ask.compare.records {
            match (version, written.get(&**key)) {
                (None, Some(Some(bytes))) if hopeful && is_small(bytes) && !keys.contains_key(&**key) => {
                    presumed_absent.push((&**key, *bytes));
                }
                _ => drop(keys.entry(&**key).or_insert(*version)),
            }
        }
        presumed_absent.sort_unstable();
        // A single record is read as it was last committed, without waiting. Several have to be of one instant, and a snapshot of
        // MariaDB need not be: it lists the transactions that are under way one after the other, while they may commit.
        let alone = keys.len() == 1 && ask.compare.ranges.is_empty() && ask.page.is_none() && ask.write.is_empty();
        let lock = |key: &[u8]| match alone {
            true => Lock::None,
            false if written.contains_key(key) => Lock::Exclusive,
            false => Lock::Share,
        };
        let keys = keys.into_iter().map(|(key, current)| (key, Key { lock: lock(key), current })).collect();
        Self { ask, sql, keys, presumed_absent }
    }

    /// Whether `key` is presumed to be absent.
    pub(super) fn presumes(&self, key: &[u8]) -> bool {
        self.presumed_absent.binary_search_by(|(presumed, _)| (*presumed).cmp(key)).is_ok()
    }

    /// The statements, each of which brings rows. Keys are locked in their order.
    pub(super) fn statements(&self) -> Vec<String> {
        let ask = self.ask;
        let mut statements: Vec<String> = self.groups().map(|keys| self.records(keys)).collect();
        for seen in &ask.compare.ranges {
            statements.push(self.sql.keys(&seen.range.start, &seen.range.end));
        }
        if let Some((range, limit)) = &ask.page {
            statements.push(self.sql.page(&range.start, &range.end, *limit));
        }
        if ask.settle {
            statements.push(self.sql.id(&id_of(ask)));
        }
        statements
    }

    fn groups(&self) -> impl Iterator<Item = &[(&'a [u8], Key)]> {
        self.keys.chunk_by(|one, next| one.1.lock == next.1.lock).flat_map(|run| groups(run, |(key, _)| key.len()))
    }

    fn records(&self, keys: &[(&[u8], Key)]) -> String {
        let current = keys.iter().filter_map(|(key, Key { current, .. })| Some([*key, &bytes_of((*current)?)].concat()));
        let current: Vec<Vec<u8>> = current.collect();
        let lock = keys.first().map_or(Lock::None, |(_, key)| key.lock);
        let keys: Vec<&[u8]> = keys.iter().map(|(key, _)| *key).collect();
        self.sql.records(&keys, &current, lock)
    }

    /// What the statements have brought, and whether the id belongs to a commit, to a refusal, or to neither.
    pub(super) fn found(&self, rows: Vec<Vec<Row>>) -> Result<(Found, Option<bool>), Failure> {
        let ask = self.ask;
        let mut rows = rows.into_iter();
        let mut records: HashMap<Vec<u8>, (Version, Option<RecordBytes>)> = HashMap::new();
        for _ in self.groups() {
            for row in rows.next().unwrap_or_default() {
                let [key, version, bytes] = columns(row)?;
                records.insert(text(key)?, (version_of(version)?, optional(bytes)?.map(Into::into)));
            }
        }
        let record = |key: &RecordKey| {
            let (version, bytes) = records.get(&**key)?;
            Some(Record { version: *version, bytes: bytes.clone().unwrap_or_default() })
        };
        let mut differs = Differs::default();
        for (key, seen) in ask.compare.records.iter().filter(|(key, _)| !self.presumes(key)) {
            if records.get(&**key).map(|(version, _)| *version) != *seen {
                differs.records.push((key.clone(), record(key)));
            }
        }
        for (index, seen) in ask.compare.ranges.iter().enumerate() {
            let keys = rows.next().unwrap_or_default().into_iter().map(|row| columns(row).and_then(|[key]| text(key)));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            if !keys.iter().map(|key| &**key).eq(seen.keys.iter().map(|key| &**key)) {
                differs.ranges.push(index);
            }
        }
        let mut page = Vec::new();
        if ask.page.is_some() {
            for row in rows.next().unwrap_or_default() {
                let [key, version, bytes] = columns(row)?;
                page.push((RecordKey::new(text(key)?), Record { version: version_of(version)?, bytes: text(bytes)?.into() }));
            }
        }
        let claimed = match rows.next().unwrap_or_default().pop() {
            Some(row) => columns(row).and_then(|[applied]| text(applied)).map(|applied| Some(applied != b"0"))?,
            None => None,
        };
        Ok((Found { read: ask.read.iter().map(record).collect(), differs, page }, claimed))
    }
}

/// What a commit is known by.
pub(super) fn id_of(ask: &Ask) -> [u8; 16] {
    bytes_of(ask.version())
}

pub(super) fn bytes_of(version: Version) -> [u8; 16] {
    version.number().to_be_bytes()
}

fn version_of(value: Value) -> Result<Version, Failure> {
    let number = text(value)?.try_into().map_err(|_| corrupt("a record has no version"))?;
    Ok(Version::new(u128::from_be_bytes(number)))
}

fn columns<const N: usize>(row: Row) -> Result<[Value; N], Failure> {
    row.unwrap().try_into().map_err(|_| unasked())
}

fn text(value: Value) -> Result<Vec<u8>, Failure> {
    optional(value)?.ok_or_else(unasked)
}

fn optional(value: Value) -> Result<Option<Vec<u8>>, Failure> {
    match value {
        Value::Bytes(bytes) => Ok(Some(bytes)),
        Value::NULL => Ok(None),
        _ => Err(unasked()),
    }
}

fn unasked() -> Failure {
    corrupt("a record is not what was asked for")
}

fn corrupt(what: &str) -> Failure {
    Failure::Final(Error::new(ErrorKind::Corrupt, format!("the table holds what this library has not written: {what}")))
}
