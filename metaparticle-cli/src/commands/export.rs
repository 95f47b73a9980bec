//! `export`: every record as a line of JSON, exactly.

use std::collections::HashMap;

use metaparticle::engine::KeyRange;
use metaparticle::inspect::{Inspector, Place, StoredType, place};

use super::stored_types;
use crate::failure::{Code, Failure};
use crate::line;
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(inspector: &Inspector, names: &[String], out: &mut Output) -> Result<(), Failure> {
    let mut types: HashMap<String, StoredType> = HashMap::new();
    let mut ranges = vec![Inspector::everything()];
    if !names.is_empty() {
        ranges.clear();
        for stored in stored_types(inspector, names)? {
            out.object(line::of_type(&stored))?;
            ranges.push(stored.range());
            types.insert(stored.name().to_owned(), stored);
        }
    }
    let progress = Progress::over("export", inspector, &ranges);
    let mut damaged = 0u64;
    for range in ranges {
        damaged += records(inspector, range, &mut types, &progress, out)?;
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Failure::new(Code::Damage, format!("{damaged} records cannot be read; `check` tells which"))),
    }
}

/// Writes the records of a range, and counts those that cannot be read.
fn records(
    inspector: &Inspector,
    range: KeyRange,
    types: &mut HashMap<String, StoredType>,
    progress: &Progress,
    out: &mut Output,
) -> Result<u64, Failure> {
    let mut damaged = 0;
    for found in inspector.salvage(range) {
        let (key, record) = found?;
        progress.step();
        // What the engine cannot read has no bytes to export.
        let Ok(record) = record else {
            damaged += 1;
            continue;
        };
        let (text, readable) = match place(&key) {
            // Schemas come first, so that the objects after them can be read.
            Place::Schema(name) => match StoredType::parse(&name, record.bytes.clone()) {
                Ok(stored) => {
                    let text = line::of_type(&stored).to_string();
                    types.insert(name, stored);
                    (text, true)
                }
                Err(_) => (line::of_record(None, &key, &record.bytes).0, false),
            },
            Place::Object(name) => line::of_record(types.get(&name), &key, &record.bytes),
            Place::Unknown => (line::of_record(None, &key, &record.bytes).0, true),
        };
        damaged += u64::from(!readable);
        out.line(text)?;
    }
    Ok(damaged)
}
