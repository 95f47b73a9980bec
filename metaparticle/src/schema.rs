//! What the store knows about each type: its stored name, its key's type, and the fields of each schema its records may have.
//!
//! A schema is a list of stored field names; a record says by number which one it follows. The list of a type's schemas is
//! itself a record, which only grows. `docs/design.md` has its bytes.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::encoding::{Encoded, FieldSet, RecordFields, compose_record};
use crate::engine::{Engine, RecordKey, Request, Seen, Version, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, describe, schema_key};
use crate::persistent::{Field, Persistent, stored_name};
use crate::store::Waiter;
use crate::sync::RwLock;

/// The first byte of a schema record.
const FORMAT: u8 = 1;
/// How often writing a new schema is tried against other processes that do the same.
const WRITE_ATTEMPTS: usize = 100;

/// A schema record's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SchemaRecord {
    key_type: String,
    /// The field names of each schema, by number.
    schemas: Vec<Vec<String>>,
}

/// One schema, matched with the program's struct.
#[derive(Debug)]
pub(crate) struct Schema {
    number: u32,
    names: Vec<String>,
    /// Where each field of the struct is in the schema.
    positions: Vec<Option<usize>>,
    /// Fields of the schema that the struct does not have.
    unknown: Vec<usize>,
}

impl Schema {
    fn new(number: u32, names: Vec<String>, fields: &'static [Field]) -> Self {
        // A field's present name wins over an older one, if a record has both.
        let position = |field: &Field| {
            let present = names.iter().position(|name| name == field.name());
            present.or_else(|| names.iter().position(|name| field.answers_to(name)))
        };
        let positions: Vec<_> = fields.iter().map(position).collect();
        let unknown = (0..names.len()).filter(|index| !positions.contains(&Some(*index))).collect();
        Self { number, names, positions, unknown }
    }

    pub(crate) fn positions(&self) -> &[Option<usize>] {
        &self.positions
    }

    /// Whether it has every field of the struct by its present name.
    fn covers(&self, fields: &'static [Field]) -> bool {
        fields.iter().zip(&self.positions).all(|(field, at)| at.is_some_and(|at| self.names[at] == field.name()))
    }
}

#[derive(Debug, Default)]
struct Known {
    version: Option<Version>,
    record: SchemaRecord,
    schemas: Vec<Arc<Schema>>,
}

/// A type as one store knows it.
#[derive(Debug)]
pub(crate) struct TypeInfo {
    pub(crate) name: String,
    rust_name: &'static str,
    key_type: String,
    fields: &'static [Field],
    describe: fn(&[u8]) -> String,
    known: RwLock<Known>,
}

impl TypeInfo {
    fn new<T: Persistent>() -> Self {
        Self {
            name: stored_name::<T>().into_owned(),
            rust_name: std::any::type_name::<T>(),
            key_type: T::Key::type_name(),
            fields: T::FIELDS,
            describe: describe::<T>,
            known: RwLock::default(),
        }
    }

    /// The object with this record key, as messages name it.
    pub(crate) fn object(&self, key: &RecordKey) -> String {
        (self.describe)(key)
    }

    /// The schema of a record.
    pub(crate) fn schema_of(&self, record: &RecordFields<'_>, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<Arc<Schema>> {
        let number = record.schema() as usize;
        let find = || self.known.read().schemas.get(number).cloned();
        let mut found = find();
        if found.is_none() {
            self.refresh(engine, waiter)?;
            found = find();
        }
        match found {
            Some(schema) if schema.names.len() == record.count() => Ok(schema),
            Some(schema) => {
                let (has, says) = (record.count(), schema.names.len());
                let message = format!("the record is damaged: it has {has} fields, and its schema {number} says {says}");
                Err(Error::new(ErrorKind::Corrupt, message))
            }
            None => {
                let message = format!("the record is damaged: the store has no schema {number} of {}", self.name);
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
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
        let base = base.map(RecordFields::parse).transpose()?;
        let base = base.map(|record| Ok::<_, Error>((record, self.schema_of(&record, engine, waiter)?))).transpose()?;
        let target = self.target_schema(base.as_ref().map(|(_, schema)| schema), engine, waiter)?;
        let from_base = |name: &str| {
            let (record, schema) = base.as_ref()?;
            record.field(schema.names.iter().position(|known| known == name)?)
        };
        let bytes_of = |at: usize| -> Option<&[u8]> {
            match target.positions.iter().position(|position| *position == Some(at)) {
                Some(index) if written.contains(index) => fields.field(index),
                Some(index) => {
                    let before = base.as_ref().and_then(|(record, schema)| record.field(schema.positions[index]?));
                    before.or_else(|| fields.field(index))
                }
                None => from_base(&target.names[at]),
            }
        };
        let parts: Option<Vec<&[u8]>> = (0..target.names.len()).map(bytes_of).collect();
        let parts = parts.ok_or_else(|| Error::new(ErrorKind::Encoding, "the object did not write all of its fields"))?;
        compose_record(target.number, &parts)
    }

    /// The schema to write a record in that followed `base`: the struct's own, but never without a field that the record has
    /// and the struct does not know.
    fn target_schema(&self, base: Option<&Arc<Schema>>, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<Arc<Schema>> {
        let mut names: Vec<String> = self.fields.iter().map(|field| field.name().to_owned()).collect();
        if let Some(base) = base.filter(|base| !base.unknown.is_empty()) {
            if base.covers(self.fields) {
                return Ok(base.clone());
            }
            names.extend(base.unknown.iter().map(|at| base.names[*at].clone()));
        }
        let find = || self.known.read().schemas.iter().find(|schema| schema.names == names).cloned();
        for _ in 0..WRITE_ATTEMPTS {
            if let Some(schema) = find() {
                return Ok(schema);
            }
            self.append(&names, engine, waiter)?;
        }
        let message = format!("the schema of {} could not be stored: other processes keep changing it", self.name);
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Reads the type's schemas from the store.
    fn refresh(&self, engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<()> {
        let key = schema_key(&self.name);
        let none = Seen::default();
        let request = Request { compare: &none, read: std::slice::from_ref(&key), ..waiter.request() };
        let reply = waiter.wait(engine.execute(request))?;
        let Some(record) = reply.read.into_iter().next().flatten() else { return Ok(()) };
        let content = decode(&record.bytes).map_err(|error| error.within(format!("the schema of {}", self.name)))?;
        if content.key_type != self.key_type {
            let message = format!(
                "the store keeps {} with keys of type {}, and {} has keys of type {}: use the same type, or another name \
                 with `#[persistent(name = \"…\")]`",
                self.name, content.key_type, self.rust_name, self.key_type
            );
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        let schema = |(number, names): (usize, &Vec<String>)| Arc::new(Schema::new(number as u32, names.clone(), self.fields));
        let schemas = content.schemas.iter().enumerate().map(schema).collect();
        *self.known.write() = Known { version: Some(record.version), record: content, schemas };
        Ok(())
    }

    /// Adds a schema, unless somebody else changes the list meanwhile; either way it is read again.
    fn append(&self, names: &[String], engine: &dyn Engine, waiter: &Waiter<'_>) -> Result<()> {
        let (version, mut content) = {
            let known = self.known.read();
            (known.version, known.record.clone())
        };
        content.key_type.clone_from(&self.key_type);
        content.schemas.push(names.to_vec());
        let key = schema_key(&self.name);
        let compare = Seen { records: vec![(key.clone(), version)], ..Seen::default() };
        let write = [Write { key, bytes: Some(encode(&content)?.into()) }];
        waiter.wait(engine.execute(Request { compare: &compare, write: &write, ..waiter.request() }))?;
        self.refresh(engine, waiter)
    }
}

fn encode(content: &SchemaRecord) -> Result<Vec<u8>> {
    let mut bytes = vec![FORMAT];
    bincode::serde::encode_into_std_write(content, &mut bytes, bincode::config::standard())
        .map_err(|error| Error::with_source(ErrorKind::Encoding, "a schema cannot be stored", error))?;
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<SchemaRecord> {
    let damaged = |error| Error::with_source(ErrorKind::Corrupt, "the schema record is damaged", error);
    match bytes.split_first() {
        Some((&FORMAT, content)) => {
            let limit = bincode::config::standard().with_limit::<0x100_0000>();
            Ok(bincode::serde::decode_from_slice(content, limit).map_err(damaged)?.0)
        }
        Some((other, _)) => {
            let message = format!("the schema record has format {other}, and this program knows format {FORMAT} only");
            Err(Error::new(ErrorKind::Incompatible, message))
        }
        None => Err(Error::new(ErrorKind::Corrupt, "the schema record is empty")),
    }
}

/// The types that a program has used with one store.
#[derive(Debug, Default)]
pub(crate) struct Types {
    known: RwLock<TypeMaps>,
}

#[derive(Debug, Default)]
struct TypeMaps {
    by_type: HashMap<TypeId, Arc<TypeInfo>>,
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
