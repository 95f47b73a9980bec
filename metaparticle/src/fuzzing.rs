//! Doors to everything that reads bytes which others may have written, for `tests/soak/fuzz`. Only its build has them.
//!
//! Each does what the library does with such bytes, and panics where a promise is broken.
#![allow(missing_docs, missing_debug_implementations, clippy::expect_used, reason = "nobody but the fuzzing targets sees them")]

pub use crate::engine::embedded::fuzzing::{Entries, journal, store};
use crate::engine::remote::{Ask, Failure, Found};
use crate::engine::{KeyRange, RecordKey, Seen};
use crate::engine::{etcd, mysql, postgres, redis, url};
use crate::error::{Error, Result};
use crate::persistent::Persistent;
pub use crate::schema::fuzzing::{Known, Reader, schemas};

/// The key in a record key of the type `T`, and the record key that it makes.
pub fn key<T: Persistent>(record_key: &[u8]) -> Option<(T::Key, RecordKey)> {
    let _ = crate::key::describe::<T>(record_key);
    let key = crate::key::found_key::<T>(record_key).ok()?;
    let record_key = crate::key::ObjectKey::<T>::new(key.clone()).record_key().clone();
    Some((key, record_key))
}

/// A URL as it is shown, and the errors that it makes.
pub fn url(url: &str) -> (String, Vec<Error>) {
    let is = |schemes: &[&str]| schemes.iter().any(|scheme| url.starts_with(&format!("{scheme}://")));
    let error = match () {
        () if is(&["etcd", "etcds"]) => etcd::check_url(url).err(),
        () if is(&["mysql", "mariadb"]) => mysql::check_url(url).err(),
        () if is(&["postgres", "postgresql"]) => postgres::check_url(url).err(),
        () if is(&["redis", "rediss"]) => redis::check_url(url).err(),
        // A path would make a folder.
        () if !url.contains("://") || is(&["sled", "fjall"]) => None,
        () => crate::Store::open(url).err(),
    };
    let shown = url::shown(url);
    let errors = error.map(|error| error.within(&shown)).into_iter().collect();
    (shown, errors)
}

/// What a server was asked.
pub struct Asked(Ask);

impl Asked {
    pub fn new(compare: Seen, read: Vec<RecordKey>, page: Option<(KeyRange, usize)>, settle: bool) -> Self {
        Self(Ask::asked(compare, read, page, settle))
    }

    /// Whether an answer was understood. One that was must be one to this question.
    fn is_answer(&self, found: Result<Option<Found>, Failure>) -> bool {
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return true,
            Err(Failure::Again(_) | Failure::Final(_)) => return false,
        };
        let compare = &self.0.compare;
        assert_eq!(found.read.len(), self.0.read.len(), "another number of records than was asked for");
        let is_compared = |key: &RecordKey| compare.records.iter().any(|(compared, _)| compared == key);
        assert!(found.differs.records.iter().all(|(key, _)| is_compared(key)), "a record differs that was not compared");
        assert!(found.differs.ranges.iter().all(|index| *index < compare.ranges.len()), "a range differs that was not compared");
        assert!(found.page.is_empty() || self.0.page.is_some(), "a page that was not asked for");
        true
    }
}

pub fn redis_answer(answer: ::redis::Value, asked: &Asked) -> bool {
    asked.is_answer(redis::read_answer(answer, &asked.0))
}

pub fn redis_message(message: &[u8]) -> Option<Vec<RecordKey>> {
    redis::read_message(message)
}

pub fn postgres_message(message: &str) -> Option<Vec<RecordKey>> {
    postgres::read_message(message)
}

pub fn mysql_rows(rows: Vec<Vec<mysql_async::Row>>, asked: &Asked) -> bool {
    asked.is_answer(mysql::read_rows(rows, &asked.0))
}

pub fn mysql_settings(row: mysql_async::Row) {
    mysql::read_settings(row);
}

pub fn etcd_answers(answers: Vec<etcd_client::GetResponse>, asked: &Asked) -> bool {
    asked.is_answer(etcd::read_answers(answers, &asked.0))
}

pub fn etcd_commit(answer: etcd_client::TxnResponse) -> bool {
    etcd::read_commit(answer).is_ok()
}

pub fn etcd_version(version: &str) {
    etcd::read_version(version);
}

/// A type with keys of the type of this name, and no schema yet.
pub fn type_with_keys(name: &str, key_type: &str) -> Result<crate::inspect::StoredType> {
    let record = crate::schema::record::SchemaRecord { key_type: key_type.to_owned(), schemas: Vec::new() };
    crate::inspect::StoredType::parse(name, record.encode()?.into())
}
