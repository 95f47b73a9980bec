//! `check`: reads everything, and reports what cannot be read.

use std::collections::HashMap;

use metaparticle::engine::{RecordBytes, RecordKey};
use metaparticle::inspect::{Inspector, Place, StoredType, place};
use metaparticle::{Error, Result as StoreResult};
use serde_json::{Value as Json, json};

use crate::failure::{Code, Failure};
use crate::keys;
use crate::output::{Output, shown};
use crate::progress::Progress;

pub(crate) fn run(inspector: &Inspector, out: &mut Output) -> Result<(), Failure> {
    let progress = Progress::over("check", inspector, &[Inspector::everything()]);
    let mut types = HashMap::new();
    let (mut objects, mut damaged) = (0u64, 0u64);
    for found in inspector.salvage(Inspector::everything()) {
        let (key, record) = found?;
        progress.step();
        objects += u64::from(matches!(place(&key), Place::Object(_)));
        let mut report = Report { key: &key, damaged: false, out: &mut *out };
        match record {
            Ok(record) => look_at(&key, &record.bytes, &mut types, &mut report)?,
            Err(error) => report.damage(type_of(&key, &types), None, &error)?,
        }
        damaged += u64::from(report.damaged);
    }
    drop(progress);
    if !out.json {
        out.line(format_args!("{} types, {objects} objects, {damaged} damaged", types.len()))?;
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Failure::new(Code::Damage, format!("{damaged} records are damaged"))),
    }
}

type Types = HashMap<String, StoreResult<StoredType>>;

fn type_of<'a>(key: &RecordKey, types: &'a Types) -> Option<&'a StoredType> {
    match place(key) {
        Place::Object(name) => types.get(&name)?.as_ref().ok(),
        _ => None,
    }
}

/// Looks at a record; schemas come first, and are kept for the objects.
fn look_at(key: &RecordKey, bytes: &RecordBytes, types: &mut Types, report: &mut Report<'_>) -> Result<(), Failure> {
    match place(key) {
        // Not ours to judge.
        Place::Unknown => Ok(()),
        Place::Schema(name) => {
            let stored = StoredType::parse(&name, bytes.clone());
            if let Err(error) = &stored {
                report.damage(None, None, error)?;
            }
            types.insert(name, stored);
            Ok(())
        }
        Place::Object(name) => match types.get(&name) {
            Some(Ok(stored)) => object(stored, key, bytes, report),
            Some(Err(error)) => report.damage(None, None, error),
            None => report.damage(None, None, &lost_schema(&name)),
        },
    }
}

fn lost_schema(name: &str) -> Error {
    Error::engine(metaparticle::ErrorKind::Corrupt, format!("the store has no schema of {}", shown(name)))
}

fn object(stored: &StoredType, key: &RecordKey, bytes: &[u8], report: &mut Report<'_>) -> Result<(), Failure> {
    if let Err(error) = stored.key(key) {
        report.damage(Some(stored), None, &error)?;
    }
    match stored.decode(bytes) {
        Err(error) => report.damage(Some(stored), None, &error),
        Ok(record) => record.fields.iter().try_for_each(|field| match field.value() {
            Ok(_) => Ok(()),
            Err(error) => report.damage(Some(stored), Some(&field.field.name), &error),
        }),
    }
}

/// The damage of one record.
struct Report<'a> {
    key: &'a RecordKey,
    damaged: bool,
    out: &'a mut Output,
}

impl Report<'_> {
    fn damage(&mut self, stored: Option<&StoredType>, field: Option<&str>, error: &Error) -> Result<(), Failure> {
        self.damaged = true;
        let key = stored.and_then(|stored| Some((stored, stored.key(self.key).ok()?)));
        if self.out.json {
            let name = match place(self.key) {
                Place::Object(name) | Place::Schema(name) => Json::from(name),
                Place::Unknown => Json::Null,
            };
            let key = key.map_or_else(|| json!({ "record_key": hex::encode(&**self.key) }), |(_, key)| keys::to_json(&key));
            return self.out.object(json!({ "type": name, "key": key, "field": field, "damage": error.to_string() }));
        }
        let object = key.map_or_else(|| format!("the record {:?}", self.key), |(stored, key)| keys::object(stored, &key));
        self.out.line(format_args!("{object}: {}", shown(&error.to_string())))
    }
}
