//! A store's contents without the program's types: for tools that list, print, change, copy and check what is stored.
//!
//! The store keeps the schemas of every type beside its objects, so that each record can be read by the shapes of its fields.
//! Reading here is a page at a time, in constant memory: a page is of one instant, two pages are not. Changes compare the
//! version that was read, as a transaction's commit does, and are tried again within bounds when it is no longer current.
//!
//! ```
//! use metaparticle::inspect::Inspector;
//! # use metaparticle::{persistent, Store};
//! # #[persistent(default)] struct Visits { count: u64 }
//! let store = Store::open("memory:")?;
//! store.transaction(|tx| { tx.get_mut::<Visits>("home")?.count += 1; metaparticle::Ok(()) })?;
//!
//! let inspector = Inspector::new(&store);
//! let visits = inspector.stored_type("Visits")?.expect("the store has visits");
//! for object in inspector.records(visits.range()) {
//!     let (key, record) = object?;
//!     let record = visits.decode(&record.bytes)?;
//!     println!("{:?}: {:?}", visits.key(&key)?, record.fields[0].value()?);
//! }
//! # metaparticle::Ok(())
//! ```

mod key;
mod load;
mod scan;
mod stored_type;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use self::key::{KeyType, Place, StoredKey, place};
pub use self::load::{Counts, Loader};
pub use self::scan::{Records, Salvaged};
pub use self::stored_type::{FieldBytes, StoredRecord, StoredType, decode_value, encode_value};
use crate::engine::{CommitId, Engine, KeyRange, Limits, Record, RecordKey, Reply, Request, Seen, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::key::schema_key;
use crate::random;
use crate::store::{Store, Waiter};
use crate::transaction::commit_is_open;

/// How often a change is tried against others that change the same record.
const ATTEMPTS: usize = 100;

/// Whether there is a store at this path or URL, so that looking at it does not make one. Of a server, it is taken to be there.
pub fn exists(url: &str) -> bool {
    let is_store = |path: &str| Path::new(path).join("metaparticle").is_file();
    match url.split_once(':') {
        // It begins with its opening.
        Some(("memory", _)) => false,
        Some(("sled" | "fjall", path)) => is_store(path),
        Some((_, rest)) if rest.starts_with("//") => true,
        _ => is_store(url),
    }
}

/// A path or URL as it may be shown: without a server's user, password and options, any of which may be secret.
///
/// ```
/// use metaparticle::inspect::shown;
/// assert_eq!(shown("postgres://me:secret@db.example/shop?sslmode=require"), "postgres://db.example/shop");
/// assert_eq!(shown("sled:shop.db"), "sled:shop.db");
/// ```
pub fn shown(url: &str) -> String {
    crate::engine::url::shown(url)
}

/// What to do with a record that was read.
#[derive(Clone, Debug)]
pub enum Change {
    /// Leave it as it is.
    Keep,
    /// Give it these bytes, and make it if there is none.
    Write(Vec<u8>),
    /// Remove it.
    Remove,
}

/// Looks into a store, and changes it, without the program's types.
#[derive(Clone, Debug)]
pub struct Inspector {
    store: Store,
}

impl Inspector {
    /// Of this store.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    fn engine(&self) -> &dyn Engine {
        self.store.engine()
    }

    fn waiter(&self) -> Waiter<'_> {
        self.store.waiter(self.store.clock().now().saturating_add(self.store.settings().retry.timeout))
    }

    /// What the engine can take.
    pub fn limits(&self) -> Limits {
        self.engine().limits()
    }

    /// Waits until everything written survives a power cut.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn flush(&self) -> Result<()> {
        self.store.flush()
    }

    /// All records of the store: schemas, and then objects.
    pub fn everything() -> KeyRange {
        KeyRange { start: RecordKey::new([]), end: RecordKey::new([0xff]) }
    }

    /// The records in `range`, in order.
    pub fn records(&self, range: KeyRange) -> Records<'_> {
        Records::new(self, range)
    }

    /// The records in `range`, in order, and the error of each that the engine cannot read.
    pub fn salvage(&self, range: KeyRange) -> Salvaged<'_> {
        Salvaged::new(self, range)
    }

    /// The types that the store knows, by their stored names, or what is wrong with their schemas.
    ///
    /// # Errors
    /// The engine's.
    pub fn types(&self) -> Result<Vec<(String, Result<StoredType>)>> {
        let mut types = Vec::new();
        for found in self.salvage(key::schema_range()) {
            let (key, record) = found?;
            let Place::Schema(name) = place(&key) else { continue };
            let stored = record.and_then(|record| StoredType::parse(&name, record.bytes));
            types.push((name, stored));
        }
        Ok(types)
    }

    /// The type with this stored name, if the store knows it.
    ///
    /// # Errors
    /// The engine's; [`Corrupt`](ErrorKind::Corrupt) if its schemas cannot be read.
    pub fn stored_type(&self, name: &str) -> Result<Option<StoredType>> {
        let record = self.get(&schema_key(name))?;
        record.map(|record| StoredType::parse(name, record.bytes)).transpose()
    }

    /// One record.
    ///
    /// # Errors
    /// The engine's.
    pub fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        let waiter = self.waiter();
        let reply = waiter.wait(self.engine().execute(Request { read: std::slice::from_ref(key), ..waiter.request() }))?;
        Ok(reply.read.into_iter().next().flatten())
    }

    /// Changes one record as `change` says, which is asked again when somebody else was faster. Tells whether it was changed;
    /// it then survives a power cut.
    ///
    /// # Errors
    /// Those of `change`; the engine's; [`Conflict`](ErrorKind::Conflict) if others kept changing it;
    /// [`Indeterminate`](ErrorKind::Indeterminate) if it is not known whether it was changed, or whether that lasts.
    pub fn update(&self, key: &RecordKey, mut change: impl FnMut(Option<&Record>) -> Result<Change>) -> Result<bool> {
        let mut current = self.get(key)?;
        for _ in 0..ATTEMPTS {
            let bytes = match (change(current.as_ref())?, &current) {
                (Change::Keep, _) | (Change::Remove, None) => return Ok(false),
                (Change::Write(bytes), Some(record)) if *bytes == *record.bytes => return Ok(false),
                (Change::Write(bytes), _) => Some(bytes.into()),
                (Change::Remove, Some(_)) => None,
            };
            let version = current.as_ref().map(|record| record.version);
            let compare = Seen { records: vec![(key.clone(), version)], ..Seen::default() };
            let reply = self.write(&compare, &[Write { key: key.clone(), bytes }])?;
            let Some((_, fresh)) = reply.differs.records.into_iter().next() else {
                let durable = self.waiter().wait(self.engine().durable(reply.durable_at));
                durable.map_err(|error| commit_is_open("an update", error))?;
                return Ok(true);
            };
            current = fresh;
        }
        Err(kept_changing(key))
    }

    /// Adds a type's schemas, as [`StoredType::bytes`] gives them. Records follow a schema by its number, so they must agree
    /// with those that the store has, as far as both go. Tells whether the store has others than before.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if they do not agree; [`Corrupt`](ErrorKind::Corrupt) if they cannot be read;
    /// those of [`update`](Self::update).
    pub fn put_schemas(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let new = StoredType::parse(name, bytes.into())?;
        self.update(&schema_key(name), |current| {
            let Some(current) = current else { return Ok(Change::Write(bytes.to_vec())) };
            let current = StoredType::parse(name, current.bytes.clone())?;
            if current.begins_with(&new) {
                return Ok(Change::Keep);
            }
            if new.begins_with(&current) {
                return Ok(Change::Write(bytes.to_vec()));
            }
            let message =
                format!("the store has {name} with other schemas, so that its records would be taken for what they are not");
            Err(Error::new(ErrorKind::Incompatible, message))
        })
    }

    fn write(&self, compare: &Seen, write: &[Write]) -> Result<Reply> {
        self.check_limits(write)?;
        let waiter = self.waiter();
        let id = CommitId(random::id());
        waiter.wait(self.engine().execute(Request { compare, write, id, ..waiter.request() }))
    }

    fn check_limits(&self, write: &[Write]) -> Result<()> {
        let limits = self.limits();
        for Write { key, bytes } in write {
            let size = bytes.as_ref().map_or(0, |bytes| bytes.len());
            if key.len() > limits.key_bytes || size > limits.record_bytes {
                let message = format!(
                    "the record {key:?} of {size} bytes is too large: this store keeps keys of up to {} bytes, and records of \
                     up to {}",
                    limits.key_bytes, limits.record_bytes
                );
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        Ok(())
    }
}

fn kept_changing(key: &RecordKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("others kept changing the record {key:?}; nothing was written"))
}
