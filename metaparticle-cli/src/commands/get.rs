//! `get`: one object.

use metaparticle::inspect::Inspector;

use super::{no_such_object, stored_type};
use crate::failure::Failure;
use crate::output::{Output, shown, table};
use crate::{keys, line};

pub(crate) fn run(inspector: &Inspector, name: &str, key: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let stored = stored_type(inspector, name)?;
    let key = keys::parse(&stored, key)?;
    let object = keys::object(&stored, &key);
    let record_key = stored.record_key(&key)?;
    let bytes = inspector.get(&record_key)?.ok_or_else(|| no_such_object(&object))?.bytes;
    let record = stored.decode(&bytes)?;
    if out.json {
        match line::of_object(&stored, &record_key, &record) {
            Some(line) => out.object(line)?,
            None => return Err(Failure::usage(format!("{object} cannot be written as JSON"))),
        }
    } else {
        let mut lines = table(&["field", "shape", "value"], &[]);
        for field in &record.fields {
            let value = shown(&line::field(field).to_string());
            lines.add_row([shown(&field.field.name), shown(&field.field.shape.to_string()), value]);
        }
        out.table(&lines)?;
    }
    match record.fields.iter().find_map(|field| field.value().err()) {
        Some(error) => Err(Failure::from(error)),
        None => Ok(()),
    }
}
