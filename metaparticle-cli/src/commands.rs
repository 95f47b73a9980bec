//! What each command does: a file each, and here what they share.

pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod ls;
pub(crate) mod rm;
pub(crate) mod schema;
pub(crate) mod set;
pub(crate) mod stats;

use metaparticle::inspect::{Inspector, StoredType};

use crate::failure::Failure;
use crate::output::shown;

/// The type with this stored name.
fn stored_type(inspector: &Inspector, name: &str) -> Result<StoredType, Failure> {
    inspector.stored_type(name)?.ok_or_else(|| {
        let types: Vec<String> = inspector.types().unwrap_or_default().iter().map(|(name, _)| shown(name)).collect();
        let has = if types.is_empty() { "it has none".to_owned() } else { format!("it has {}", types.join(", ")) };
        Failure::not_found(format!("the store has no type {}: {has}", shown(name)))
    })
}

/// The types with these stored names, or all.
fn stored_types(inspector: &Inspector, names: &[String]) -> Result<Vec<StoredType>, Failure> {
    if names.is_empty() {
        return inspector.types()?.into_iter().map(|(_, stored)| stored.map_err(Failure::from)).collect();
    }
    names.iter().map(|name| stored_type(inspector, name)).collect()
}

fn no_such_object(object: &str) -> Failure {
    Failure::not_found(format!("there is no {object}"))
}
