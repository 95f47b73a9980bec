//! Reads records and schemas as a program does when it meets them in a store.

use std::marker::PhantomData;
use std::sync::OnceLock;

use super::record::SchemaRecord;
use super::{Schema, StoredField, StructShape, damaged};
use crate::encoding::{Before, FieldReader, FieldWriter, RecordFields, Source};
use crate::error::Result;
use crate::key::Key;
use crate::persistent::{Persistent, stored_name};

/// A program with the type `T`.
pub struct Reader<T> {
    shape: StructShape,
    stored: Vec<StoredField>,
    own: Schema,
    object: PhantomData<fn() -> T>,
}

/// The schemas of a store, each with how it is read, once it was needed.
pub struct Known(Vec<(Vec<StoredField>, OnceLock<Schema>)>);

impl<T: Persistent> Default for Reader<T> {
    fn default() -> Self {
        let shape = StructShape::new(T::FIELDS, T::OLD);
        let stored = shape.stored();
        let own = Schema::new(0, stored.clone(), &shape, &stored);
        Self { shape, stored, own, object: PhantomData }
    }
}

impl<T: Persistent> Reader<T> {
    /// The type's schemas as a new store has them.
    pub fn schemas(&self) -> Vec<u8> {
        let record = SchemaRecord { key_type: T::Key::type_name(), schemas: vec![self.stored.clone()] };
        record.encode().expect("it is small")
    }

    /// What a store has that has these schemas.
    pub fn known(&self, schemas: &[u8]) -> Result<Known> {
        let schemas = SchemaRecord::decode(schemas)?.schemas;
        Ok(Known(schemas.into_iter().map(|stored| (stored, OnceLock::new())).collect()))
    }

    /// Reads a record that follows one of these schemas.
    pub fn read(&self, known: &Known, record: &[u8]) -> Result<T> {
        let fields = RecordFields::parse(record)?;
        let number = fields.schema();
        let known = known.0.get(number as usize).ok_or_else(|| damaged(format!("there is no schema {number}")))?;
        let schema = known.1.get_or_init(|| Schema::new(number, known.0.clone(), &self.shape, &self.stored));
        schema.check(&fields, &stored_name::<T>())?;
        T::decode(&mut FieldReader::new(T::FIELDS, Source::Record(fields, schema.plan())))
    }

    /// Writes a record of the struct's own schema.
    pub fn write(&self, object: &T) -> Result<Vec<u8>> {
        let mut writer = FieldWriter::new(T::FIELDS, Before::Nothing);
        object.encode(&mut writer)?;
        let (encoded, _) = writer.finish();
        let record = encoded.record(0).ok_or_else(|| damaged("a new object is not encoded as a record".to_owned()))?;
        self.own.check_new(record)?;
        Ok(record.to_vec())
    }
}

/// Reads schemas, and writes them again.
pub fn schemas(bytes: &[u8]) -> Result<Vec<u8>> {
    SchemaRecord::decode(bytes)?.encode()
}
