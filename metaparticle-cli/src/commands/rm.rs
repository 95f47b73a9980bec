//! `rm`: removes an object.

use metaparticle::inspect::{Change, Inspector};
use serde_json::json;

use super::{no_such_object, stored_type};
use crate::failure::Failure;
use crate::output::Output;
use crate::{ask, keys};

pub(crate) fn run(inspector: &Inspector, name: &str, key: Option<&str>, yes: bool, out: &mut Output) -> Result<(), Failure> {
    let stored = stored_type(inspector, name)?;
    let key = keys::parse(&stored, key)?;
    let object = keys::object(&stored, &key);
    let record_key = stored.record_key(&key)?;
    if inspector.get(&record_key)?.is_none() {
        return Err(no_such_object(&object));
    }
    ask::confirm(&format!("Remove {object}?"), yes)?;
    if !inspector.update(&record_key, |_| Ok(Change::Remove))? {
        return Err(no_such_object(&object));
    }
    if out.json { out.object(json!({ "removed": 1 })) } else { out.line(format_args!("{object} is removed")) }
}
