//! The stored form of a type's schemas: a record that only grows. `docs/design.md` has its bytes.

use serde::{Deserialize, Serialize};

use crate::encoding::decode_from;
use crate::error::{Error, ErrorKind, Result};
use crate::shape::Shape;

/// The first byte of a schema record.
const FORMAT: u8 = 1;

/// What the store knows of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaRecord {
    /// The name of the key's type.
    pub(crate) key_type: String,
    /// The fields of each schema, by number.
    pub(crate) schemas: Vec<Vec<StoredField>>,
}

/// A field of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredField {
    /// Its stored name.
    pub name: String,
    /// What its bytes mean.
    pub shape: Shape,
}

impl SchemaRecord {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![FORMAT];
        bincode::serde::encode_into_std_write(self, &mut bytes, bincode::config::standard())
            .map_err(|error| Error::with_source(ErrorKind::Encoding, "a schema cannot be stored", error))?;
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = |error| Error::with_source(ErrorKind::Corrupt, "the schema record is damaged", error);
        match bytes.split_first() {
            Some((&FORMAT, content)) => decode_from(content).map_err(damaged),
            Some((other, _)) => {
                let message = format!("the schema record has format {other}, and this program knows format {FORMAT} only");
                Err(Error::new(ErrorKind::Incompatible, message))
            }
            None => Err(Error::new(ErrorKind::Corrupt, "the schema record is empty")),
        }
    }
}
