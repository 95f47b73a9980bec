//! The lines that `export` writes and `import` reads: one JSON object each.
//!
//! | line | what |
//! |---|---|
//! | `{"type", "key_type", "schemas", "schema_record"}` | a type; `schema_record` is what is stored, the rest is for readers |
//! | `{"type", "key", "schema", "fields"}` | an object; without `key`, the one of a singleton |
//! | `{"type", "key", "record"}` | an object whose fields do not say all of its bytes, such as a damaged one |
//! | `{"record_key", "record"}` | a record that is neither |
//!
//! Each line of an object is read again before it is written, and has its fields only if they give exactly the stored bytes.

use std::collections::HashMap;

use metaparticle::engine::{RecordBytes, RecordKey};
use metaparticle::inspect::{FieldBytes, StoredRecord, StoredType, encode_value};
use metaparticle::shape::StoredField;
use serde_json::{Map, Value as Json, json};

use crate::{json as values, keys};

/// The line of a type.
pub(crate) fn of_type(stored: &StoredType) -> Json {
    json!({
        "type": stored.name(),
        "key_type": stored.key_type().to_string(),
        "schemas": stored.schemas().iter().map(|schema| readable(schema)).collect::<Vec<_>>(),
        "schema_record": hex::encode(stored.bytes()),
    })
}

/// The fields of a schema, with their shapes as people read them.
pub(crate) fn readable(schema: &[StoredField]) -> Json {
    schema.iter().map(|field| json!({ "name": field.name, "shape": field.shape.to_string() })).collect()
}

/// A field's value in JSON; what only the program, or nobody, can read is `{"opaque": "…"}`.
pub(crate) fn field(field: &FieldBytes<'_>) -> Json {
    let value = field.value().ok().flatten().and_then(|value| values::to_json(&field.field.shape, &value));
    value.unwrap_or_else(|| json!({ "opaque": hex::encode(field.bytes) }))
}

/// The bytes of a field from its JSON.
pub(crate) fn field_bytes(field: &StoredField, json: &Json) -> Result<Vec<u8>, String> {
    let of = |error: String| format!("the field `{}` is {}: {error}", field.name, field.shape);
    if field.shape.is_opaque() {
        let digits = json.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("opaque")?.as_str());
        let bytes = digits.and_then(|digits| hex::decode(digits).ok());
        return bytes.ok_or_else(|| of("expected {\"opaque\": \"…\"} with its bytes as hexadecimal digits".to_owned()));
    }
    let value = values::from_json(&field.shape, json).map_err(of)?;
    encode_value(&field.shape, &value).map_err(|error| of(error.to_string()))
}

fn start(stored: &StoredType, key: &RecordKey) -> Option<Map<String, Json>> {
    let key = keys::to_json(&stored.key(key).ok()?);
    let mut line = Map::from_iter([("type".to_owned(), Json::from(stored.name()))]);
    if !key.is_null() {
        line.insert("key".to_owned(), key);
    }
    Some(line)
}

/// The line of an object that can be read.
pub(crate) fn of_object(stored: &StoredType, key: &RecordKey, record: &StoredRecord<'_>) -> Option<Json> {
    let mut line = start(stored, key)?;
    let fields = record.fields.iter().map(|bytes| (bytes.field.name.clone(), field(bytes)));
    line.insert("schema".to_owned(), record.schema.into());
    line.insert("fields".to_owned(), Json::Object(fields.collect()));
    Some(Json::Object(line))
}

/// The line of any record, from which `import` makes exactly the same bytes; and whether it could be read.
pub(crate) fn of_record(stored: Option<&StoredType>, key: &RecordKey, bytes: &[u8]) -> (String, bool) {
    let whole = || {
        let mut line = stored.and_then(|stored| start(stored, key));
        let line = line.get_or_insert_with(|| Map::from_iter([("record_key".to_owned(), hex::encode(&**key).into())]));
        line.insert("record".to_owned(), hex::encode(bytes).into());
        Json::Object(std::mem::take(line)).to_string()
    };
    let Some(stored) = stored else { return (whole(), false) };
    let Ok(record) = stored.decode(bytes) else { return (whole(), false) };
    let readable = stored.key(key).is_ok() && record.fields.iter().all(|field| field.value().is_ok());
    let text = of_object(stored, key, &record).map(|line| line.to_string());
    let is_exact = |text: &String| {
        let read = serde_json::from_str(text).ok().and_then(|line| object(stored, &line).ok());
        read.is_some_and(|(read_key, read)| read_key == *key && *read == *bytes)
    };
    (text.filter(is_exact).unwrap_or_else(whole), readable)
}

/// What a line says.
pub(crate) enum Line {
    /// A type and its schemas, as they are stored.
    Type(String, Vec<u8>),
    /// A record.
    Record(RecordKey, RecordBytes),
}

/// Reads a line. `types` are those of the lines before it.
pub(crate) fn parse(text: &str, types: &HashMap<String, StoredType>) -> Result<Line, String> {
    let json: Json = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let line = json.as_object().ok_or("it is not a JSON object")?;
    if line.contains_key("record_key") {
        return Ok(Line::Record(RecordKey::new(bytes_in(line, "record_key")?), bytes_in(line, "record")?.into()));
    }
    let name = line.get("type").and_then(Json::as_str).ok_or("it has no \"type\"")?;
    if line.contains_key("schema_record") {
        return Ok(Line::Type(name.to_owned(), bytes_in(line, "schema_record")?));
    }
    let stored = types.get(name).ok_or_else(|| format!("no line before it has the schemas of {name}"))?;
    object(stored, &json).map(|(key, bytes)| Line::Record(key, bytes))
}

fn bytes_in(line: &Map<String, Json>, name: &str) -> Result<Vec<u8>, String> {
    let digits = line.get(name).and_then(Json::as_str).ok_or_else(|| format!("it has no \"{name}\""))?;
    hex::decode(digits).map_err(|error| format!("\"{name}\": {error}"))
}

/// The record key and the bytes of an object's line.
fn object(stored: &StoredType, line: &Json) -> Result<(RecordKey, RecordBytes), String> {
    let line = line.as_object().ok_or("it is not a JSON object")?;
    let (name, key_type) = (stored.name(), stored.key_type());
    let key = keys::from_json(line.get("key").unwrap_or(&Json::Null), key_type)
        .ok_or_else(|| format!("keys of {name} are of type {key_type}, and its \"key\" is not one"))?;
    let key = stored.record_key(&key).map_err(|error| error.to_string())?;
    if line.contains_key("record") {
        return Ok((key, bytes_in(line, "record")?.into()));
    }
    let number = line.get("schema").and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or("it has no \"schema\", which is a number")?;
    let schema = stored.schemas().get(number as usize).ok_or_else(|| format!("{name} has no schema {number}"))?;
    let fields = line.get("fields").and_then(Json::as_object).ok_or("it has no \"fields\"")?;
    if let Some(unknown) = fields.keys().find(|name| !schema.iter().any(|field| field.name == **name)) {
        return Err(format!("schema {number} of {name} has no field `{unknown}`"));
    }
    let value = |field: &StoredField| match fields.get(&field.name) {
        Some(json) => field_bytes(field, json),
        None => Err(format!("the field `{}` is missing", field.name)),
    };
    let parts: Vec<Vec<u8>> = schema.iter().map(value).collect::<Result<_, _>>()?;
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let bytes = stored.encode(number, &parts).map_err(|error| error.to_string())?;
    Ok((key, bytes.into()))
}
