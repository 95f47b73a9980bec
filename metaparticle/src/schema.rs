//! What the store knows about each type: its stored name, its key's type, and the fields of each schema its records may have.
//!
//! A schema is a list of fields, each with its stored name and its shape; a record says by number which one it follows. The list
//! of a type's schemas is itself a record, which only grows.

#[cfg(feature = "schema-file")]
mod file;
pub(crate) mod plan;
pub(crate) mod record;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

#[cfg(feature = "schema-file")]
pub use self::file::SchemaFile;
use self::plan::{Misfit, StructShape};
pub(crate) use self::plan::{Place, Plan};
use self::record::SchemaRecord;
pub use self::record::StoredField;
use crate::encoding::{Encoded, FieldSet, RecordFields, compose_record};
use crate::engine::{Engine, RecordKey, Seen, Version, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, describe, schema_key};
use crate::persistent::{Persistent, stored_name};
use crate::store::Waiter;
use crate::sync::RwLock;

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
    /// For each of its fields, the struct's field that is written there: the one of the same name and shape.
    written: Vec<Option<usize>>,
}

impl Schema {
    fn new(number: u32, stored: Vec<StoredField>, own: &StructShape, own_stored: &[StoredField]) -> Self {
        let plan = Plan::new(&stored, own);
        let unknown = plan.as_ref().map(|plan| plan.unread(stored.len())).unwrap_or_default();
        let written = stored.iter().map(|field| own_stored.iter().position(|own| own == field)).collect();
        Self { number, stored, plan, unknown, written }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// How the struct reads a record of it. One that cannot be read does not come so far.
    pub(crate) fn plan(&self) -> &Plan {
        self.plan.as_ref().unwrap_or(&UNREADABLE)
    }

    /// Whether the struct of so many fields can be written in it.
    fn covers(&self, own_fields: usize) -> bool {
        (0..own_fields).all(|index| self.written.contains(&Some(index)))
    }
}

/// A record's fields, its schema, and how the program's struct reads them.
pub(crate) struct Read<'a> {
    pub(crate) fields: RecordFields<'a>,
    pub(crate) schema: Arc<Schema>,
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
    schemas: Vec<Arc<Schema>>,
    /// The one that the struct is written in, so that a commit need not look for it.
    own: Option<Arc<Schema>>,
}

/// A type as one store knows it.
#[derive(Debug)]
pub(crate) struct TypeInfo {
    pub(crate) name: String,
    rust_name: &'static str,
    key_type: String,
    own: StructShape,
    /// The schema that the struct is written in.
    own_stored: Vec<StoredField>,
    is_ordered: bool,
    describe: fn(&[u8]) -> String,
    known: RwLock<Known>,
}

impl TypeInfo {
    fn new<T: Persistent>() -> Self {
        let own = StructShape::new(T::FIELDS, T::OLD);
        Self {
            name: stored_name::<T>().into_owned(),
            rust_name: std::any::type_name::<T>(),
            key_type: T::Key::type_name(),
            is_ordered: own.is_ordered(),
            own_stored: own.stored(),
            own,
            describe: describe::<T>,
            known: RwLock::default(),
        }
    }

    /// The object with this record key, as messages name it.
    pub(crate) fn object(&self, key: &RecordKey) -> String {
        (self.describe)(key)
    }

    /// Whether equal objects are surely written as equal bytes.
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// How many stored fields the struct has.
    pub(crate) fn fields(&self) -> usize {
        self.own_stored.len()
    }

    /// A record's fields, and how the struct reads them.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8], engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<Read<'a>> {
        let fields = RecordFields::parse(bytes)?;
        let number = fields.schema() as usize;
        let find = || self.known.read().schemas.get(number).cloned();
        let mut found = find();
        if found.is_none() {
            self.refresh(engine, waiter)?;
            found = find();
        }
        let damaged = |what: String| Err(Error::new(ErrorKind::Corrupt, format!("the record is damaged: {what}")));
        match found {
            None => damaged(format!("the store has no schema {number} of {}", self.name)),
            Some(schema) if schema.stored.len() != fields.count() => {
                damaged(format!("it has {} fields, and its schema {number} says {}", fields.count(), schema.stored.len()))
            }
            Some(schema) => match &schema.plan {
                Ok(_) => Ok(Read { fields, schema }),
                Err(misfit) => Err(self.incompatible(misfit)),
            },
        }
    }

    fn incompatible(&self, misfit: &Misfit) -> Error {
        Error::new(ErrorKind::Incompatible, misfit.explain(&self.name))
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
        let target = self.target_schema(base.as_ref().map(|base| &base.schema), engine, waiter)?;
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
        compose_record(target.number, &parts)
    }

    /// The schema to write a record in that followed `base`: the struct's own, but never without a field that the record has
    /// and the struct does not know.
    fn target_schema(&self, base: Option<&Arc<Schema>>, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<Arc<Schema>> {
        let base = base.filter(|base| !base.unknown.is_empty());
        match base {
            Some(base) if base.covers(self.own_stored.len()) => return Ok(base.clone()),
            Some(_) => {}
            None => {
                if let Some(own) = &self.known.read().own {
                    return Ok(own.clone());
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
            Some(misfit) => Err(self.incompatible(misfit)),
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
        let schema = |(number, stored): (usize, &Vec<StoredField>)| {
            Arc::new(Schema::new(number as u32, stored.clone(), &self.own, &self.own_stored))
        };
        let schemas: Vec<_> = content.schemas.iter().enumerate().map(schema).collect();
        let own = schemas.iter().find(|schema| schema.stored == self.own_stored).cloned();
        *self.known.write() = Known { version, record: content, schemas, own };
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

/// The types that a program has used with one store.
#[derive(Debug, Default)]
pub(crate) struct Types {
    known: RwLock<TypeMaps>,
}

#[derive(Debug, Default)]
struct TypeMaps {
    by_type: HashMap<TypeId, Arc<TypeInfo>, RandomState>,
    by_name: HashMap<String, &'static str>,
}

impl Types {
    /// The type, checked against the store when it is first used.
    pub(crate) fn get<T: Persistent>(&self, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<Arc<TypeInfo>> {
        if let Some(info) = self.known.read().by_type.get(&TypeId::of::<T>()) {
            return Ok(info.clone());
        }
        let info = TypeInfo::new::<T>();
        if let Some(info) = self.known.read().find::<T>(&info)? {
            return Ok(info);
        }
        info.refresh(engine, waiter)?;
        info.check()?;
        let mut known = self.known.write();
        // Another thread may have been faster.
        if let Some(info) = known.find::<T>(&info)? {
            return Ok(info);
        }
        let info = Arc::new(info);
        known.by_name.insert(info.name.clone(), info.rust_name);
        known.by_type.insert(TypeId::of::<T>(), info.clone());
        Ok(info)
    }
}

impl TypeMaps {
    /// The type, if it is known; an error if another one has its name. Both are looked up under one lock: in between, another
    /// thread could add the type itself.
    fn find<T: Persistent>(&self, new: &TypeInfo) -> Result<Option<Arc<TypeInfo>>> {
        match (self.by_type.get(&TypeId::of::<T>()), self.by_name.get(&new.name)) {
            (Some(info), _) => Ok(Some(info.clone())),
            (None, Some(other)) => Err(clash(new, other)),
            (None, None) => Ok(None),
        }
    }
}

fn clash(info: &TypeInfo, other: &str) -> Error {
    let message = format!(
        "two types are both stored as {}: {} and {other}; give one of them another name with `#[persistent(name = \"…\")]`",
        info.name, info.rust_name
    );
    Error::new(ErrorKind::Incompatible, message)
}
