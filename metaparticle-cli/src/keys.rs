//! Keys as they are typed, printed, and written in JSON.

use metaparticle::inspect::{KeyType, StoredKey, StoredType};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::failure::Failure;
use crate::output::shown;

/// The key in JSON; a singleton's is null.
pub(crate) fn to_json(key: &StoredKey) -> Json {
    match key {
        StoredKey::None => Json::Null,
        StoredKey::Text(text) => Json::from(text.as_str()),
        StoredKey::Signed(number) => crate::json::signed(*number),
        StoredKey::Unsigned(number) => crate::json::unsigned(*number),
        StoredKey::Uuid(uuid) => Json::from(uuid.to_string()),
        StoredKey::Tuple(keys) => Json::Array(keys.iter().map(to_json).collect()),
    }
}

/// The key as `get` takes it.
pub(crate) fn to_text(key: &StoredKey) -> String {
    match key {
        StoredKey::None => String::new(),
        StoredKey::Text(text) => shown(text),
        key => match to_json(key) {
            Json::String(text) => text,
            json => shown(&json.to_string()),
        },
    }
}

/// A key of this type from JSON; `None` if it is not one.
pub(crate) fn from_json(json: &Json, key_type: &KeyType) -> Option<StoredKey> {
    let key = match (json, key_type) {
        (Json::Null, KeyType::None) => StoredKey::None,
        (Json::String(text), KeyType::Text) => StoredKey::Text(text.clone()),
        (Json::String(text), KeyType::Uuid) => StoredKey::Uuid(Uuid::try_parse(text).ok()?),
        (Json::Number(number), KeyType::Signed(_)) => StoredKey::Signed(number.to_string().parse().ok()?),
        (Json::Number(number), KeyType::Unsigned(_)) => StoredKey::Unsigned(number.to_string().parse().ok()?),
        (Json::Array(_), KeyType::Tuple(types)) => {
            let key = beginning(json, types)?;
            matches!(&key, StoredKey::Tuple(keys) if keys.len() == types.len()).then_some(key)?
        }
        _ => return None,
    };
    key.fits(key_type).then_some(key)
}

/// A tuple of the first keys of these types.
fn beginning(json: &Json, types: &[KeyType]) -> Option<StoredKey> {
    let parts = json.as_array().filter(|parts| parts.len() <= types.len())?;
    parts.iter().zip(types).map(|(part, key_type)| from_json(part, key_type)).collect::<Option<_>>().map(StoredKey::Tuple)
}

fn typed(text: &str, key_type: &KeyType) -> Option<StoredKey> {
    match key_type {
        KeyType::Text => Some(StoredKey::Text(text.to_owned())),
        KeyType::Uuid => from_json(&Json::from(text), key_type),
        _ => from_json(&serde_json::from_str(text).ok()?, key_type),
    }
}

/// The key that was typed for an object of this type.
pub(crate) fn parse(stored: &StoredType, text: Option<&str>) -> Result<StoredKey, Failure> {
    let (name, key_type) = (shown(stored.name()), stored.key_type());
    match (text, key_type) {
        (None, KeyType::None) => Ok(StoredKey::None),
        (Some(_), KeyType::None) => Err(Failure::usage(format!("{name} is a singleton: it has no key"))),
        (None, _) => Err(Failure::usage(format!("which {name}? Its keys are of type {key_type}"))),
        (Some(text), _) => typed(text, key_type)
            .ok_or_else(|| Failure::usage(format!("keys of {name} are of type {key_type}, and `{}` is not one", shown(text)))),
    }
}

/// The beginning of keys that was typed for objects of this type.
pub(crate) fn parse_prefix(stored: &StoredType, text: &str) -> Result<StoredKey, Failure> {
    let prefix = match stored.key_type() {
        KeyType::Text => Some(StoredKey::Text(text.to_owned())),
        KeyType::Tuple(types) => serde_json::from_str(text).ok().and_then(|json| beginning(&json, types)),
        _ => None,
    };
    prefix.ok_or_else(|| {
        let (name, key_type) = (shown(stored.name()), stored.key_type());
        let how = "a prefix is the beginning of a text, or for tuples a JSON array of their first keys";
        Failure::usage(format!("keys of {name} are of type {key_type}, and none begins with `{}`: {how}", shown(text)))
    })
}

/// The object as messages name it.
pub(crate) fn object(stored: &StoredType, key: &StoredKey) -> String {
    let name = shown(stored.name());
    match key {
        StoredKey::None => name,
        StoredKey::Text(_) => format!("{name} \"{}\"", to_text(key)),
        key => format!("{name} {}", to_text(key)),
    }
}
