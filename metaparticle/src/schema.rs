//! What the store knows about each type: its stored name, its key's type, and the fields of each schema its records may have.
//!
//! A schema is a list of fields, each with its stored name and its shape; a record says by number which one it follows. The list
//! of a type's schemas is itself a record, which only grows.

#[cfg(feature = "schema-file")]
mod file;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
pub(crate) mod plan;
mod recent;
pub(crate) mod record;

use std::any::TypeId;
use std::collections::HashMap;

use bincode::error::DecodeError;
use foldhash::fast::RandomState;

#[cfg(feature = "schema-file")]
pub use self::file::SchemaFile;
use self::plan::{Misfit, StructShape};
pub(crate) use self::plan::{Place, Plan};
use self::recent::Recent;
use self::record::SchemaRecord;
pub use self::record::StoredField;
use crate::encoding::{Encoded, FieldSet, RecordFields, compose_record};
use crate::engine::{Engine, RecordKey, Seen, Version, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, describe, schema_key};
use crate::persistent::{Persistent, stored_name};
use crate::shape::Value;
use crate::store::Waiter;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock, thread_local, unscheduled};

/// How often writing a new schema is tried against other processes that do the same.
const WRITE_ATTEMPTS: usize = 100;

/// One schema, and how the program's struct reads it.
#[derive(Debug)]
pub(crate) struct Schema {
    number: u32,
    stored: Vec<StoredField>,
    plan: Result<Plan, Misfit>,
    /// Fields of the schema that the struct does not read.
    unknown: Vec<usize>,
    /// Whether it is the one that the struct is written in.
    is_own: bool,
    /// Fields whose bytes the struct's types would read without end.
    endless: Vec<usize>,
    /// For each of its fields, the struct's field that is written there: the one of the same name and shape.
    written: Vec<Option<usize>>,
}

impl Schema {
    fn new(number: u32, stored: Vec<StoredField>, own: &StructShape, own_stored: &[StoredField]) -> Self {
        let plan = Plan::new(&stored, own);
        let unknown = plan.as_ref().map(|plan| plan.unread(stored.len())).unwrap_or_default();
        let written = stored.iter().map(|field| own_stored.iter().position(|own| own == field)).collect();
        let is_own = stored == own_stored;
        // What is partly opaque is for its type alone to read.
        let is_endless = |at: &usize| stored[*at].shape.is_endless() && !stored[*at].shape.is_opaque();
        let endless = (0..stored.len()).filter(is_endless).collect();
        Self { number, stored, plan, unknown, is_own, endless, written }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Whether it is the one that the struct is written in.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// How the struct reads a record of it. One that cannot be read does not come so far.
    pub(crate) fn plan(&self) -> &Plan {
        self.plan.as_ref().unwrap_or(&UNREADABLE)
    }

    /// Whether a record with these fields is one of it, and can be read.
    fn check(&self, fields: &RecordFields<'_>, type_name: &str) -> Result<()> {
        let (has, says) = (fields.count(), self.stored.len());
        if has != says {
            return Err(damaged(format!("it has {has} fields, and its schema {} says {says}", self.number)));
        }
        if let Err(misfit) = &self.plan {
            return Err(incompatible(misfit, type_name));
        }
        self.check_ends(fields).map_err(|(name, error)| damaged_field(name, error))
    }

    /// Whether the bytes of every field end soon enough; else the field's name, and why they do not.
    fn check_ends(&self, fields: &RecordFields<'_>) -> Result<(), (&str, DecodeError)> {
        self.endless.iter().try_for_each(|at| {
            let StoredField { name, shape } = &self.stored[*at];
            let read = Value::decode(shape, fields.field(*at).unwrap_or_default());
            read.map(drop).map_err(|error| (&**name, error))
        })
    }

    /// Whether a record that is to be written could be read again.
    pub(crate) fn check_new(&self, record: &[u8]) -> Result<()> {
        if self.endless.is_empty() {
            return Ok(());
        }
        self.check_ends(&RecordFields::parse(record)?).map_err(|(name, error)| {
            let message = format!("the field `{name}` cannot be stored, because its bytes could not be read back");
            Error::with_source(ErrorKind::Encoding, message, error)
        })
    }

    /// Whether the struct of so many fields can be written in it.
    fn covers(&self, own_fields: usize) -> bool {
        (0..own_fields).all(|index| self.written.contains(&Some(index)))
    }
}

fn damaged(what: String) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the record is damaged: {what}"))
}

fn damaged_field(name: &str, error: DecodeError) -> Error {
    Error::with_source(ErrorKind::Corrupt, format!("the record is damaged: its field `{name}` cannot be read"), error)
}

fn incompatible(misfit: &Misfit, type_name: &str) -> Error {
    Error::new(ErrorKind::Incompatible, misfit.explain(type_name))
}

/// A record's fields, its schema, and how the program's struct reads them.
pub(crate) struct Read<'a> {
    pub(crate) fields: RecordFields<'a>,
    pub(crate) schema: &'static Schema,
}

impl<'a> Read<'a> {
    pub(crate) fn plan(&self) -> &Plan {
        self.schema.plan()
    }

    /// The bytes of the struct's field with this index, where the record has them as the struct writes them.
    pub(crate) fn as_is(&self, index: usize) -> Option<&'a [u8]> {
        self.fields.field(self.plan().as_is(index)?)
    }

    /// The bytes that the struct's field with this index is made of.
    pub(crate) fn made_of(&self, index: usize) -> Option<&'a [u8]> {
        self.fields.field(self.plan().place(index)?.at()?)
    }
}

static UNREADABLE: Plan = Plan::Fields(Vec::new());

#[derive(Debug, Default)]
struct Known {
    version: Option<Version>,
    record: SchemaRecord,
    schemas: Vec<&'static Schema>,
    /// The one that the struct is written in, so that a commit need not look for it.
    own: Option<&'static Schema>,
}

thread_local! {
    static TYPES: Recent<(u64, TypeId), &'static TypeInfo> = const { Recent::new() };
    /// By the store, the place of the type in memory, and the schema's number, which never means another one.
    static SCHEMAS: Recent<(u64, usize, u32), &'static Schema> = const { Recent::new() };
}

/// A type as one store knows it. It is used by one store after the other and never freed, so that nobody has to count who uses it:
/// there are as many as there were stores open at once.
#[derive(Debug)]
pub(crate) struct TypeInfo {
    pub(crate) name: String,
    rust_name: &'static str,
    key_type: String,
    own: StructShape,
    /// The schema that the struct is written in.
    own_stored: Vec<StoredField>,
    unordered: FieldSet,
    describe: fn(&[u8]) -> String,
    /// The number of the store that uses it.
    store: AtomicU64,
    known: RwLock<Known>,
    /// All schemas that it has met, in any store.
    schemas: Mutex<Vec<&'static Schema>>,
}

impl TypeInfo {
    fn new<T: Persistent>() -> Self {
        let own = StructShape::new(T::FIELDS, T::OLD);
        Self::with(stored_name::<T>().into_owned(), std::any::type_name::<T>(), T::Key::type_name(), own, describe::<T>)
    }

    fn with(name: String, rust_name: &'static str, key_type: String, own: StructShape, describe: fn(&[u8]) -> String) -> Self {
        Self {
            name,
            rust_name,
            key_type,
            unordered: own.unordered(),
            own_stored: own.stored(),
            own,
            describe,
            store: AtomicU64::new(0),
            known: RwLock::default(),
            schemas: Mutex::default(),
        }
    }

    /// The object with this record key, as messages name it.
    pub(crate) fn object(&self, key: &RecordKey) -> String {
        (self.describe)(key)
    }

    /// Whether an object of which the fields `not_plain` are not of plain types would be written again as it is.
    pub(crate) fn is_ordered(&self, not_plain: FieldSet) -> bool {
        (not_plain & self.unordered).is_empty()
    }

    /// How many stored fields the struct has.
    pub(crate) fn fields(&self) -> usize {
        self.own_stored.len()
    }

    /// A record's fields, and how the struct reads them.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8], engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<Read<'a>> {
        let fields = RecordFields::parse(bytes)?;
        let number = fields.schema();
        let mut found = self.known_schema(number);
        if found.is_none() {
            self.refresh(engine, waiter)?;
            found = self.known_schema(number);
        }
        let schema = found.ok_or_else(|| damaged(format!("the store has no schema {number} of {}", self.name)))?;
        schema.check(&fields, &self.name)?;
        Ok(Read { fields, schema })
    }

    fn known_schema(&self, number: u32) -> Option<&'static Schema> {
        let key = (self.store.load(Ordering::Relaxed), std::ptr::from_ref(self).addr(), number);
        let find = || self.known.read().schemas.get(number as usize).copied().ok_or(());
        SCHEMAS.with(|schemas| schemas.get(key, find)).ok()
    }

    /// The schema of a record that was looked at before.
    pub(crate) fn schema_of(&self, record: &[u8]) -> Option<&'static Schema> {
        self.known_schema(RecordFields::of_parsed(record)?.schema())
    }

    /// A record's bytes with the fields in `written` as they are in `fields`, and all others as they are in `base`.
    pub(crate) fn compose(
        &self,
        base: Option<&[u8]>,
        fields: &Encoded,
        written: FieldSet,
        engine: &dyn Engine,
        waiter: &Waiter<'_>,
    ) -> Result<Vec<u8>> {
        let base = base.map(|bytes| self.read(bytes, engine, waiter)).transpose()?;
        let target = self.target_schema(base.as_ref().map(|base| base.schema), engine, waiter)?;
        let bytes_of = |(stored, own): (&StoredField, &Option<usize>)| -> Option<&[u8]> {
            match own {
                Some(index) if written.contains(*index) => fields.field(*index),
                // What the record has in another form is written anew.
                Some(index) => base.as_ref().and_then(|base| base.as_is(*index)).or_else(|| fields.field(*index)),
                None => {
                    let base = base.as_ref()?;
                    base.fields.field(base.schema.stored.iter().position(|known| known == stored)?)
                }
            }
        };
        let parts: Option<Vec<&[u8]>> = target.stored.iter().zip(&target.written).map(bytes_of).collect();
        let parts = parts.ok_or_else(|| Error::new(ErrorKind::Encoding, "the object did not write all of its fields"))?;
        let record = compose_record(target.number, &parts)?;
        target.check_new(&record)?;
        Ok(record)
    }

    /// The schema to write a record in that followed `base`: the struct's own, but never without a field that the record has
    /// and the struct does not know.
    fn target_schema(&self, base: Option<&'static Schema>, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<&'static Schema> {
        if let Some(base) = base.filter(|base| base.is_own) {
            return Ok(base);
        }
        let base = base.filter(|base| !base.unknown.is_empty());
        match base {
            Some(base) if base.covers(self.own_stored.len()) => return Ok(base),
            Some(_) => {}
            None => {
                if let Some(own) = &self.known.read().own {
                    return Ok(own);
                }
            }
        }
        let mut stored = self.own_stored.clone();
        stored.extend(base.into_iter().flat_map(|base| base.unknown.iter().map(|at| base.stored[*at].clone())));
        let find = || self.known.read().schemas.iter().find(|schema| schema.stored == stored).cloned();
        for _ in 0..WRITE_ATTEMPTS {
            if let Some(schema) = find() {
                return Ok(schema);
            }
            self.append(&stored, engine, waiter)?;
        }
        let message = format!("the schema of {} could not be stored: other processes keep changing it", self.name);
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Whether the struct can read what was written before it was. What comes after it, a newer program's records, is looked at
    /// one by one: an older program must be able to go on.
    fn check(&self) -> Result<()> {
        let known = self.known.read();
        let mut before = known.schemas.iter().take_while(|schema| schema.stored != self.own_stored);
        match before.find_map(|schema| schema.plan.as_ref().err()) {
            Some(misfit) => Err(incompatible(misfit, &self.name)),
            None => Ok(()),
        }
    }

    /// Reads the type's schemas from the store.
    fn refresh(&self, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<()> {
        let key = schema_key(&self.name);
        let reply = waiter.alone(engine, Seen::NOTHING, std::slice::from_ref(&key), &[])?;
        let Some(record) = reply.read.into_iter().next().flatten() else { return Ok(()) };
        let content =
            SchemaRecord::decode(&record.bytes).map_err(|error| error.within(format!("the schema of {}", self.name)))?;
        if content.key_type != self.key_type {
            let message = format!(
                "the store keeps {} with keys of type {}, and {} has keys of type {}: use the same type, or another name \
                 with `#[persistent(name = \"…\")]`",
                self.name, content.key_type, self.rust_name, self.key_type
            );
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        self.accept(Some(record.version), content);
        Ok(())
    }

    /// Takes over what the store has of the type.
    fn accept(&self, version: Option<Version>, content: SchemaRecord) {
        let schemas: Vec<_> =
            content.schemas.iter().enumerate().map(|(number, stored)| self.schema(number as u32, stored)).collect();
        let own = schemas.iter().find(|schema| schema.stored == self.own_stored).copied();
        *self.known.write() = Known { version, record: content, schemas, own };
    }

    /// The schema with this number and these fields, made if it was not met before.
    fn schema(&self, number: u32, stored: &[StoredField]) -> &'static Schema {
        let mut schemas = self.schemas.lock();
        if let Some(schema) = schemas.iter().find(|schema| schema.number == number && schema.stored == stored) {
            return schema;
        }
        let schema = Schema::new(number, stored.to_vec(), &self.own, &self.own_stored);
        let schema: &'static Schema = Box::leak(Box::new(schema));
        schemas.push(schema);
        schema
    }

    /// Adds a schema, unless somebody else changes the list meanwhile; either way it is read again.
    fn append(&self, stored: &[StoredField], engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<()> {
        let (version, mut content) = {
            let known = self.known.read();
            (known.version, known.record.clone())
        };
        content.key_type.clone_from(&self.key_type);
        content.schemas.push(stored.to_vec());
        let key = schema_key(&self.name);
        let compare = Seen { records: vec![(key.clone(), version)], ..Seen::default() };
        let write = [Write { key, bytes: Some(content.encode()?.into()) }];
        let reply = waiter.alone(engine, &compare, &[], &write)?;
        if !reply.differs.is_empty() {
            return self.refresh(engine, waiter);
        }
        self.accept(reply.version, content);
        Ok(())
    }
}

/// A type of objects, for functions that are compiled once, and not for each type.
#[derive(Clone, Copy)]
pub(crate) struct AnyType {
    id: TypeId,
    info: fn() -> TypeInfo,
}

impl AnyType {
    pub(crate) fn of<T: Persistent>() -> Self {
        Self { id: TypeId::of::<T>(), info: TypeInfo::new::<T> }
    }
}

/// The types that a program has used with one store.
#[derive(Debug)]
pub(crate) struct Types {
    /// Which store; no two ever have the same number.
    store: u64,
    known: RwLock<TypeMaps>,
}

#[derive(Debug, Default)]
struct TypeMaps {
    by_type: HashMap<TypeId, &'static TypeInfo, RandomState>,
    by_name: HashMap<String, &'static str>,
}

/// Types of stores that are gone.
static UNUSED: unscheduled::Mutex<Vec<(TypeId, &'static TypeInfo)>> = unscheduled::Mutex::new(Vec::new());

impl Default for Types {
    fn default() -> Self {
        static STORES: unscheduled::AtomicU64 = unscheduled::AtomicU64::new(1);
        Self { store: STORES.fetch_add(1, Ordering::Relaxed), known: RwLock::default() }
    }
}

impl Types {
    /// The type, checked against the store when it is first used.
    #[inline]
    pub(crate) fn get<'a>(
        &self,
        of: AnyType,
        engine: &dyn Engine,
        waiter: impl FnOnce() -> Waiter<'a>,
    ) -> Result<&'static TypeInfo> {
        TYPES.with(|types| types.get((self.store, of.id), || self.find(of, engine, &waiter())))
    }

    fn find(&self, of: AnyType, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<&'static TypeInfo> {
        if let Some(info) = self.known.read().by_type.get(&of.id) {
            return Ok(info);
        }
        let info = self.take_unused(of);
        let mine = self.check(of.id, info, engine, waiter);
        if !mine.as_ref().is_ok_and(|mine| std::ptr::eq(*mine, info)) {
            put_back(of.id, info);
        }
        mine
    }

    fn take_unused(&self, of: AnyType) -> &'static TypeInfo {
        let mut unused = UNUSED.lock();
        let found = unused.iter().position(|(id, _)| *id == of.id).map(|at| unused.swap_remove(at).1);
        drop(unused);
        let info = found.unwrap_or_else(|| Box::leak(Box::new((of.info)())));
        info.store.store(self.store, Ordering::Relaxed);
        info
    }

    /// The type that the store knows: `info`, unless another thread was faster.
    fn check(&self, id: TypeId, info: &'static TypeInfo, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<&'static TypeInfo> {
        if let Some(info) = self.known.read().find(id, info)? {
            return Ok(info);
        }
        info.refresh(engine, waiter)?;
        info.check()?;
        let mut known = self.known.write();
        if let Some(info) = known.find(id, info)? {
            return Ok(info);
        }
        known.by_name.insert(info.name.clone(), info.rust_name);
        known.by_type.insert(id, info);
        Ok(info)
    }
}

/// Its types can be used by other stores from now on.
impl Drop for Types {
    fn drop(&mut self) {
        self.known.get_mut().by_type.drain().for_each(|(of, info)| put_back(of, info));
    }
}

fn put_back(of: TypeId, info: &'static TypeInfo) {
    *info.known.write() = Known::default();
    UNUSED.lock().push((of, info));
}

impl TypeMaps {
    /// The type, if it is known; an error if another one has its name. Both are looked up under one lock: in between, another
    /// thread could add the type itself.
    fn find(&self, id: TypeId, new: &TypeInfo) -> Result<Option<&'static TypeInfo>> {
        match (self.by_type.get(&id), self.by_name.get(&new.name)) {
            (Some(info), _) => Ok(Some(info)),
            (None, Some(other)) => Err(clash(new, other)),
            (None, None) => Ok(None),
        }
    }
}

fn clash(info: &TypeInfo, other: &str) -> Error {
    let mend = match info.name.contains('<') {
        // A name of its own would be the name of both again.
        true => "the types that they are made of are named without their paths, so one of these needs another name",
        false => "give one of them another name with `#[persistent(name = \"…\")]`",
    };
    let message = format!("two types are both stored as {}: {} and {other}; {mend}", info.name, info.rust_name);
    Error::new(ErrorKind::Incompatible, message)
}
