//! `ls`: the types, or the objects of one.

use std::collections::BTreeMap;

use indicatif::{HumanBytes, HumanCount};
use metaparticle::inspect::{Inspector, Place, place};
use serde_json::{Value as Json, json};

use super::stored_type;
use crate::failure::Failure;
use crate::keys;
use crate::output::{Output, shown, table};
use crate::progress::Progress;

#[derive(Default)]
struct Totals {
    key_type: Option<String>,
    objects: u64,
    bytes: u64,
}

/// The types with counts and sizes.
pub(crate) fn types(inspector: &Inspector, out: &mut Output) -> Result<(), Failure> {
    let mut types: BTreeMap<String, Totals> = BTreeMap::new();
    for (name, stored) in inspector.types()? {
        let key_type = stored.map_or_else(|_| "damaged".to_owned(), |stored| stored.key_type().to_string());
        types.entry(name).or_default().key_type = Some(key_type);
    }
    let progress = Progress::over("ls", inspector, &[Inspector::everything()]);
    for found in inspector.records(Inspector::everything()) {
        let (key, record) = found?;
        progress.step();
        if let Place::Object(name) = place(&key) {
            let totals = types.entry(name).or_default();
            totals.objects += 1;
            totals.bytes += record.bytes.len() as u64;
        }
    }
    drop(progress);
    let mut lines = table(&["type", "key", "objects", "bytes"], &[2, 3]);
    for (name, Totals { key_type, objects, bytes }) in types {
        if out.json {
            out.object(json!({ "type": name, "key_type": key_type, "objects": objects, "bytes": bytes }))?;
        } else {
            let key_type = key_type.unwrap_or_else(|| "unknown".to_owned());
            lines.add_row([shown(&name), key_type, HumanCount(objects).to_string(), HumanBytes(bytes).to_string()]);
        }
    }
    if out.json { Ok(()) } else { out.table(&lines) }
}

/// The objects of one type. They are printed as they are read, since there may be more than fit into memory.
pub(crate) fn objects(inspector: &Inspector, name: &str, prefix: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let stored = stored_type(inspector, name)?;
    let range = match prefix {
        Some(prefix) => stored.prefix_range(&keys::parse_prefix(&stored, prefix)?)?,
        None => stored.range(),
    };
    if !out.json {
        out.line("   bytes  key")?;
    }
    for found in inspector.records(range) {
        let (record_key, record) = found?;
        let key = stored.key(&record_key);
        if out.json {
            let key = key.as_ref().map_or(Json::Null, keys::to_json);
            out.object(json!({ "type": name, "key": key, "bytes": record.bytes.len() }))?;
        } else {
            let key = key.as_ref().map_or_else(|_| format!("damaged: {record_key:?}"), keys::to_text);
            out.line(format_args!("{:>8}  {key}", record.bytes.len()))?;
        }
    }
    Ok(())
}
