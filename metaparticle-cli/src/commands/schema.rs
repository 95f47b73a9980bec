//! `schema`: what the store knows of its types.

use metaparticle::inspect::Inspector;
use serde_json::json;

use super::stored_types;
use crate::failure::Failure;
use crate::line;
use crate::output::{Output, shown};

pub(crate) fn run(inspector: &Inspector, names: &[String], out: &mut Output) -> Result<(), Failure> {
    for stored in stored_types(inspector, names)? {
        if out.json {
            let schemas: Vec<_> = stored.schemas().iter().map(|schema| line::readable(schema)).collect();
            let key_type = stored.key_type().to_string();
            out.object(json!({ "type": stored.name(), "key_type": key_type, "schemas": schemas }))?;
            continue;
        }
        out.line(format_args!("{}, key: {}", shown(stored.name()), stored.key_type()))?;
        for (number, schema) in stored.schemas().iter().enumerate() {
            out.line(format_args!("  schema {number}"))?;
            for field in schema {
                out.line(format_args!("    {}: {}", shown(&field.name), shown(&field.shape.to_string())))?;
            }
        }
    }
    Ok(())
}
