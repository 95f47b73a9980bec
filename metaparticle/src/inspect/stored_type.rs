//! A type as the store knows it: its schemas, and its records read and written by them.

use super::key::{self, KeyType, StoredKey};
use crate::encoding::{RecordFields, compose_record};
use crate::engine::{KeyRange, RecordBytes, RecordKey};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::StoredField;
use crate::schema::record::SchemaRecord;
use crate::shape::{Shape, Value};

/// A type as the store knows it.
#[derive(Clone, Debug)]
pub struct StoredType {
    name: String,
    key_type: KeyType,
    record: SchemaRecord,
    bytes: RecordBytes,
}

impl StoredType {
    /// Reads a type's schemas from their record.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) or [`Incompatible`](ErrorKind::Incompatible) if they cannot be read.
    pub fn parse(name: &str, bytes: RecordBytes) -> Result<Self> {
        let record = SchemaRecord::decode(&bytes).map_err(|error| error.within(format!("the schema of {name}")))?;
        let key_type = KeyType::parse(&record.key_type).ok_or_else(|| {
            let message = format!("the schema of {name}: this program knows no keys of type {}", record.key_type.escape_debug());
            Error::new(ErrorKind::Incompatible, message)
        })?;
        Ok(Self { name: name.to_owned(), key_type, record, bytes })
    }

    /// Its stored name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its objects' keys.
    pub fn key_type(&self) -> &KeyType {
        &self.key_type
    }

    /// The fields of each schema; records say by number which one they follow.
    pub fn schemas(&self) -> &[Vec<StoredField>] {
        &self.record.schemas
    }

    /// The schemas as they are stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the schemas of `other` are these, or the first of these.
    pub fn begins_with(&self, other: &Self) -> bool {
        self.key_type == other.key_type && self.record.schemas.starts_with(&other.record.schemas)
    }

    /// Where its objects are.
    pub fn range(&self) -> KeyRange {
        key::type_range(&self.name)
    }

    /// Where those objects are whose key begins so: with this text, or with the keys of this tuple.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) if keys of this type have no beginning, or not this one.
    pub fn prefix_range(&self, prefix: &StoredKey) -> Result<KeyRange> {
        let fits = match (prefix, &self.key_type) {
            (StoredKey::Text(_), KeyType::Text) => true,
            (StoredKey::Tuple(keys), KeyType::Tuple(types)) => {
                keys.len() <= types.len() && keys.iter().zip(types).all(|(key, key_type)| key.fits(key_type))
            }
            _ => false,
        };
        key::prefix_range(&self.name, prefix).filter(|_| fits).ok_or_else(|| {
            let message = format!("keys of {} are of type {}: none begins so", self.name, self.key_type);
            Error::new(ErrorKind::Setup, message)
        })
    }

    /// Where the object with this key is.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) if it is a key of another type.
    pub fn record_key(&self, key: &StoredKey) -> Result<RecordKey> {
        if key.fits(&self.key_type) {
            return Ok(key::record_key(&self.name, key));
        }
        Err(Error::new(ErrorKind::Setup, format!("keys of {} are of type {}, and {key:?} is not", self.name, self.key_type)))
    }

    /// The key of the object that is there.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if it is not one of this type.
    pub fn key(&self, record_key: &RecordKey) -> Result<StoredKey> {
        key::stored_key(&self.name, &self.key_type, record_key)
    }

    /// The fields of a record. Whether each can be read shows [`FieldBytes::value`].
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the record is not one of this type; [`Incompatible`](ErrorKind::Incompatible) if it
    /// has a newer format.
    pub fn decode<'a>(&'a self, bytes: &'a [u8]) -> Result<StoredRecord<'a>> {
        let record = RecordFields::parse(bytes)?;
        let damaged = |what: String| Error::new(ErrorKind::Corrupt, format!("the record is damaged: {what}"));
        let schema = self.record.schemas.get(record.schema() as usize).ok_or_else(|| {
            damaged(format!("it follows schema {}, and {} has {}", record.schema(), self.name, self.record.schemas.len()))
        })?;
        if schema.len() != record.count() {
            let (has, says) = (record.count(), schema.len());
            return Err(damaged(format!("it has {has} fields, and its schema {} says {says}", record.schema())));
        }
        // Every offset has been looked at, so no field is missing.
        let field = |(index, field)| FieldBytes { field, bytes: record.field(index).unwrap_or_default() };
        Ok(StoredRecord { schema: record.schema(), fields: schema.iter().enumerate().map(field).collect() })
    }

    /// A record of the schema of this number, put together from its fields' bytes.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) if there is no such schema, or it has another number of fields; [`Limit`](ErrorKind::Limit)
    /// if it is too large.
    pub fn encode(&self, schema: u32, fields: &[&[u8]]) -> Result<Vec<u8>> {
        match self.record.schemas.get(schema as usize) {
            Some(stored) if stored.len() == fields.len() => compose_record(schema, fields),
            Some(stored) => {
                let message = format!("schema {schema} of {} has {} fields, not {}", self.name, stored.len(), fields.len());
                Err(Error::new(ErrorKind::Setup, message))
            }
            None => Err(Error::new(ErrorKind::Setup, format!("there is no schema {schema} of {}", self.name))),
        }
    }
}

/// A record, taken apart.
#[derive(Clone, Debug)]
pub struct StoredRecord<'a> {
    /// The number of its schema.
    pub schema: u32,
    /// Its fields, in the order of its schema.
    pub fields: Vec<FieldBytes<'a>>,
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
pub struct FieldBytes<'a> {
    /// What the schema says of it.
    pub field: &'a StoredField,
    /// What is stored.
    pub bytes: &'a [u8],
}

impl FieldBytes<'_> {
    /// What the bytes say; `None` if only the program can tell.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if they are not of the field's shape.
    pub fn value(&self) -> Result<Option<Value>> {
        if self.field.shape.is_opaque() {
            return Ok(None);
        }
        let value = decode_value(&self.field.shape, self.bytes);
        value.map(Some).map_err(|error| error.within(format!("the field `{}`", self.field.name)))
    }
}

/// Reads a field's bytes.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if they are not of this shape, or some of it is opaque.
pub fn decode_value(shape: &Shape, bytes: &[u8]) -> Result<Value> {
    Value::decode(shape, bytes).map_err(|error| {
        let message = format!("its {} bytes cannot be read as {shape}: {error}", bytes.len());
        Error::with_source(ErrorKind::Corrupt, message, error)
    })
}

/// Writes a field's bytes.
///
/// # Errors
/// [`Encoding`](ErrorKind::Encoding) if the value is not of this shape.
pub fn encode_value(shape: &Shape, value: &Value) -> Result<Vec<u8>> {
    value.encode(shape).map_err(|error| {
        let message = format!("the value is not of the shape {shape}: {error}");
        Error::with_source(ErrorKind::Encoding, message, error)
    })
}
