//! Keys without their Rust type: read and written by the name of the key's type that the store remembers.

use std::borrow::Cow;
use std::fmt;
use std::io;

use foundationdb_tuple::{Bytes, PackError, PackResult, TupleDepth, TuplePack, TupleUnpack, VersionstampOffset, pack};
use uuid::Uuid;

use crate::engine::{KeyRange, RecordKey};
use crate::error::{Error, ErrorKind, Result};

/// The bytes around a nested tuple.
const NESTED: u8 = 0x05;
const NESTED_END: u8 = 0x00;
/// How deep tuples in keys may be nested.
const DEPTH: usize = 16;

/// A type of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// The type is a singleton: there is one object, without a key.
    None,
    /// Text.
    Text,
    /// A signed integer of so many bits.
    Signed(u32),
    /// An unsigned integer of so many bits.
    Unsigned(u32),
    /// A UUID.
    Uuid,
    /// One key of each type.
    Tuple(Vec<KeyType>),
}

impl KeyType {
    /// The type that the store calls so; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        let (key_type, rest) = Self::parse_prefix(name, 0)?;
        rest.is_empty().then_some(key_type)
    }

    fn parse_prefix(name: &str, depth: usize) -> Option<(Self, &str)> {
        if let Some(mut rest) = name.strip_prefix('(').filter(|_| depth < DEPTH) {
            let mut types = Vec::new();
            loop {
                let (inner, after) = Self::parse_prefix(rest, depth + 1)?;
                types.push(inner);
                match after.strip_prefix(", ") {
                    Some(next) => rest = next,
                    None => return Some((Self::Tuple(types), after.strip_prefix(')')?)),
                }
            }
        }
        let end = name.find([',', ')']).unwrap_or(name.len());
        let (word, rest) = name.split_at(end);
        let bits = |bits: &str| bits.parse().ok().filter(|bits| [8, 16, 32, 64, 128].contains(bits));
        let plain = match (word, word.split_at_checked(1)?) {
            ("none", _) => Self::None,
            ("text", _) => Self::Text,
            ("uuid", _) => Self::Uuid,
            (_, ("i", width)) => Self::Signed(bits(width)?),
            (_, ("u", width)) => Self::Unsigned(bits(width)?),
            _ => return None,
        };
        Some((plain, rest))
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Text => f.write_str("text"),
            Self::Signed(bits) => write!(f, "i{bits}"),
            Self::Unsigned(bits) => write!(f, "u{bits}"),
            Self::Uuid => f.write_str("uuid"),
            Self::Tuple(types) => {
                let types: Vec<String> = types.iter().map(Self::to_string).collect();
                write!(f, "({})", types.join(", "))
            }
        }
    }
}

/// An object's key, without its Rust type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredKey {
    /// That of a singleton.
    None,
    /// Text.
    Text(String),
    /// A signed integer of any width.
    Signed(i128),
    /// An unsigned integer of any width.
    Unsigned(u128),
    /// A UUID.
    Uuid(Uuid),
    /// Several keys in one.
    Tuple(Vec<StoredKey>),
}

impl StoredKey {
    /// Whether it is a key of this type.
    pub fn fits(&self, key_type: &KeyType) -> bool {
        match (self, key_type) {
            (Self::None, KeyType::None) | (Self::Text(_), KeyType::Text) | (Self::Uuid(_), KeyType::Uuid) => true,
            (Self::Signed(n), KeyType::Signed(bits)) => *bits >= 128 || (-1i128 << (bits - 1)..1 << (bits - 1)).contains(n),
            (Self::Unsigned(n), KeyType::Unsigned(bits)) => *bits >= 128 || *n < 1 << bits,
            (Self::Tuple(keys), KeyType::Tuple(types)) => {
                keys.len() == types.len() && keys.iter().zip(types).all(|(key, key_type)| key.fits(key_type))
            }
            _ => false,
        }
    }

    fn unpack<'a>(input: &'a [u8], key_type: &KeyType, depth: TupleDepth) -> PackResult<(&'a [u8], Self)> {
        Ok(match key_type {
            KeyType::Text => String::unpack(input, depth).map(|(rest, text)| (rest, Self::Text(text)))?,
            KeyType::Signed(_) => i128::unpack(input, depth).map(|(rest, number)| (rest, Self::Signed(number)))?,
            KeyType::Unsigned(_) => u128::unpack(input, depth).map(|(rest, number)| (rest, Self::Unsigned(number)))?,
            KeyType::Uuid => Uuid::unpack(input, depth).map(|(rest, uuid)| (rest, Self::Uuid(uuid)))?,
            KeyType::None => (skip(skip(input, NESTED)?, NESTED_END)?, Self::None),
            KeyType::Tuple(types) => {
                let mut rest = skip(input, NESTED)?;
                let mut keys = Vec::new();
                for key_type in types {
                    let (after, key) = Self::unpack(rest, key_type, depth.increment())?;
                    keys.push(key);
                    rest = after;
                }
                (skip(rest, NESTED_END)?, Self::Tuple(keys))
            }
        })
    }
}

fn skip(input: &[u8], code: u8) -> PackResult<&[u8]> {
    match input.split_first() {
        Some((found, rest)) if *found == code => Ok(rest),
        Some((found, _)) => Err(PackError::BadCode { found: *found, expected: Some(code) }),
        None => Err(PackError::MissingBytes),
    }
}

impl TuplePack for StoredKey {
    fn pack<W: io::Write>(&self, w: &mut W, depth: TupleDepth) -> io::Result<VersionstampOffset> {
        match self {
            Self::Text(text) => text.pack(w, depth),
            Self::Signed(number) => number.pack(w, depth),
            Self::Unsigned(number) => number.pack(w, depth),
            Self::Uuid(uuid) => uuid.pack(w, depth),
            Self::None => w.write_all(&[NESTED, NESTED_END]).map(|()| VersionstampOffset::None { size: 0 }),
            Self::Tuple(keys) => {
                w.write_all(&[NESTED])?;
                for key in keys {
                    key.pack(w, depth.increment())?;
                }
                w.write_all(&[NESTED_END]).map(|()| VersionstampOffset::None { size: 0 })
            }
        }
    }
}

/// How deep a tuple is at its root, which the tuple layer tells only to what is packed or unpacked.
struct Root(TupleDepth);

impl<'de> TupleUnpack<'de> for Root {
    fn unpack(input: &'de [u8], depth: TupleDepth) -> PackResult<(&'de [u8], Self)> {
        Ok((input, Self(depth)))
    }
}

fn element_depth() -> PackResult<TupleDepth> {
    Root::unpack_root(b"").map(|root| root.0.increment())
}

/// What a record key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The schemas of the type with this stored name.
    Schema(String),
    /// An object of the type with this stored name.
    Object(String),
    /// Nothing that is known here.
    Unknown,
}

/// What a record key stands for.
pub fn place(key: &RecordKey) -> Place {
    let place = || -> PackResult<Place> {
        let depth = element_depth()?;
        if let Ok((_, name)) = String::unpack(key, depth) {
            return Ok(Place::Object(name));
        }
        let (rest, word) = Bytes::unpack(key, depth)?;
        let (rest, name) = String::unpack(rest, depth)?;
        let is_schema = *word == *b"schema" && rest.is_empty();
        Ok(if is_schema { Place::Schema(name) } else { Place::Unknown })
    };
    place().unwrap_or(Place::Unknown)
}

/// Where the schemas of all types are.
pub(super) fn schema_range() -> KeyRange {
    range_of(pack(&(&b"schema"[..],)))
}

/// All record keys that begin with these bytes and go on as a tuple or text does. Neither has 0xff as its next byte, except where
/// a zero in a text is written as two bytes: there, it is another text.
fn range_of(start: Vec<u8>) -> KeyRange {
    let end = [&*start, &[0xff]].concat();
    KeyRange { start: RecordKey::new(start), end: RecordKey::new(end) }
}

/// All objects of the type with this stored name.
pub(super) fn type_range(name: &str) -> KeyRange {
    range_of(pack(&(name,)))
}

pub(super) fn record_key(name: &str, key: &StoredKey) -> RecordKey {
    match key {
        StoredKey::None => RecordKey::new(pack(&(name,))),
        key => RecordKey::new(pack(&(name, key))),
    }
}

/// The key in a record key of the type `name`.
pub(super) fn stored_key(name: &str, key_type: &KeyType, record_key: &RecordKey) -> Result<StoredKey> {
    let read = || -> PackResult<StoredKey> {
        let depth = element_depth()?;
        let (rest, found) = Cow::<'_, str>::unpack(record_key, depth)?;
        if found != name {
            return Err(PackError::BadPrefix);
        }
        if *key_type == KeyType::None && rest.is_empty() {
            return Ok(StoredKey::None);
        }
        let (rest, key) = StoredKey::unpack(rest, key_type, depth)?;
        if rest.is_empty() { Ok(key) } else { Err(PackError::TrailingBytes) }
    };
    let damaged = || format!("the key {record_key:?} of {name} is damaged: it is not one of type {key_type}");
    let key = read().map_err(|error| Error::with_source(ErrorKind::Corrupt, damaged(), error.to_string()))?;
    // An integer out of range, or another way to write the same key: no program would find the object.
    if !key.fits(key_type) || self::record_key(name, &key) != *record_key {
        return Err(Error::new(ErrorKind::Corrupt, damaged()));
    }
    Ok(key)
}

/// The record keys of the objects whose key begins with `prefix`: text that begins so, or tuples that begin with these keys.
pub(super) fn prefix_range(name: &str, prefix: &StoredKey) -> Option<KeyRange> {
    if !matches!(prefix, StoredKey::Text(_) | StoredKey::Tuple(_)) {
        return None;
    }
    let mut start = pack(&(name, prefix));
    // Without the byte that ends the text or the tuple.
    start.pop();
    Some(range_of(start))
}
