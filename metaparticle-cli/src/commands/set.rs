//! `set`: fields of an object, changed by comparing and writing, so that nobody's change is lost.

use metaparticle::inspect::{Change, Inspector, KeyType, StoredType};
use metaparticle::shape::StoredField;
use metaparticle::{Error, ErrorKind};
use serde_json::{Value as Json, json};

use super::{no_such_object, stored_type};
use crate::failure::Failure;
use crate::output::{Output, shown};
use crate::{keys, line};

pub(crate) fn run(inspector: &Inspector, name: &str, arguments: &[String], out: &mut Output) -> Result<(), Failure> {
    let stored = stored_type(inspector, name)?;
    let (key, assignments) = match (stored.key_type(), arguments.split_first()) {
        (KeyType::None, _) | (_, None) => (None, arguments),
        (_, Some((key, rest))) => (Some(key.as_str()), rest),
    };
    let key = keys::parse(&stored, key)?;
    let object = keys::object(&stored, &key);
    if assignments.is_empty() {
        return Err(Failure::usage(format!("which fields of {object}? Write FIELD=JSON after the key")));
    }
    let assignments = assignments.iter().map(|text| assignment(&stored, text)).collect::<Result<Vec<_>, _>>()?;

    // The reason for not changing it, which the store's error cannot carry.
    let mut refused = None;
    let mut refuse = |failure: Failure| {
        let error = Error::engine(ErrorKind::Setup, failure.message.clone());
        refused = Some(failure);
        error
    };
    let changed = inspector.update(&stored.record_key(&key)?, |current| {
        let bytes = &current.ok_or_else(|| refuse(no_such_object(&object)))?.bytes;
        changed_record(&stored, bytes, &assignments).map(Change::Write).map_err(&mut refuse)
    });
    let changed = match (changed, refused) {
        (Err(_), Some(failure)) => return Err(failure),
        (changed, _) => changed?,
    };
    let text = if changed { format!("{object} is changed") } else { format!("{object} has these values already") };
    if out.json { out.object(json!({ "changed": changed })) } else { out.line(text) }
}

/// `FIELD=JSON`, as it was typed.
struct Assignment<'a> {
    field: &'a str,
    json: Json,
}

fn assignment<'a>(stored: &StoredType, text: &'a str) -> Result<Assignment<'a>, Failure> {
    let (field, json) =
        text.split_once('=').ok_or_else(|| Failure::usage(format!("`{}` is not FIELD=JSON, such as balance=5", shown(text))))?;
    let json = serde_json::from_str(json).map_err(|error| {
        let shape = stored.schemas().iter().rev().flatten().find(|known| known.name == field).map(|known| known.shape.to_string());
        let shape = shape.map_or(String::new(), |shape| format!(", which is {shape}"));
        let (field, json) = (shown(field), shown(json));
        Failure::usage(format!(
            "what is set for the field `{field}`{shape}, is not JSON: `{json}` ({error}); text needs quotes, such as '{field}=\"text\"'"
        ))
    })?;
    Ok(Assignment { field, json })
}

/// The record with the fields changed; it stays in its schema.
fn changed_record(stored: &StoredType, bytes: &[u8], assignments: &[Assignment<'_>]) -> Result<Vec<u8>, Failure> {
    let record = stored.decode(bytes)?;
    let mut parts: Vec<Vec<u8>> = record.fields.iter().map(|field| field.bytes.to_vec()).collect();
    for Assignment { field, json } in assignments {
        let position = record.fields.iter().position(|known| known.field.name == *field);
        let position = position.ok_or_else(|| Failure::usage(no_such_field(stored, record.schema, field)))?;
        parts[position] = line::field_bytes(record.fields[position].field, json).map_err(Failure::usage)?;
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(stored.encode(record.schema, &parts)?)
}

fn no_such_field(stored: &StoredType, schema: u32, field: &str) -> String {
    let own = stored.schemas().get(schema as usize).map_or(&[][..], Vec::as_slice);
    let elsewhere = stored.schemas().iter().flatten().any(|known| known.name == field);
    let names: Vec<String> = own.iter().map(|field: &StoredField| shown(&field.name)).collect();
    let (name, names, field) = (shown(stored.name()), names.join(", "), shown(field));
    match elsewhere {
        false => format!("{name} has no field `{field}`: it has {names}"),
        true => format!("this {name} was written with schema {schema}, which has no field `{field}`: it has {names}"),
    }
}
