//! Reads records and schemas as a program does when it meets them in a store.

use std::marker::PhantomData;

use super::record::SchemaRecord;
use super::{Schema, StoredField, StructShape, damaged};
use crate::encoding::{Before, FieldReader, FieldWriter, RecordFields, Source};
use crate::error::Result;
use crate::key::Key;
use crate::persistent::{Persistent, stored_name};

/// A program with the type `T`.
pub struct Reader<T> {
    own: StructShape,
    own_stored: Vec<StoredField>,
    object: PhantomData<fn() -> T>,
}

impl<T: Persistent> Default for Reader<T> {
    fn default() -> Self {
        let own = StructShape::new(T::FIELDS, T::OLD);
        Self { own_stored: own.stored(), own, object: PhantomData }
    }
}

impl<T: Persistent> Reader<T> {
    /// The type's schemas as a new store has them.
    pub fn schemas(&self) -> Vec<u8> {
        let record = SchemaRecord { key_type: T::Key::type_name(), schemas: vec![self.own_stored.clone()] };
        record.encode().expect("it is small")
    }

    /// Reads a record that follows one of these schemas.
    pub fn read(&self, schemas: &[u8], record: &[u8]) -> Result<T> {
        let schemas = SchemaRecord::decode(schemas)?;
        let fields = RecordFields::parse(record)?;
        let number = fields.schema();
        let stored = schemas.schemas.into_iter().nth(number as usize);
        let stored = stored.ok_or_else(|| damaged(format!("there is no schema {number}")))?;
        let schema = Schema::new(number, stored, &self.own, &self.own_stored);
        schema.check(&fields, &stored_name::<T>())?;
        T::decode(&mut FieldReader::new(T::FIELDS, Source::Record(fields, schema.plan())))
    }

    /// Writes a record of the struct's own schema.
    pub fn write(&self, object: &T) -> Result<Vec<u8>> {
        let mut writer = FieldWriter::new(T::FIELDS, Before::Nothing);
        object.encode(&mut writer)?;
        let (encoded, _) = writer.finish();
        let record = encoded.record(0).ok_or_else(|| damaged("a new object is not encoded as a record".to_owned()))?;
        Schema::new(0, self.own_stored.clone(), &self.own, &self.own_stored).check_new(record)?;
        Ok(record.to_vec())
    }
}

/// Reads schemas, and writes them again.
pub fn schemas(bytes: &[u8]) -> Result<Vec<u8>> {
    SchemaRecord::decode(bytes)?.encode()
}
