//! A value without its Rust type: what a field's bytes say, by its shape.

use std::cell::Cell;
use std::fmt;

use bincode::config;
use bincode::error::{DecodeError, EncodeError};
use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeTuple};
use serde::{Deserializer, Serialize, Serializer};

use super::{Content, Node, Shape};
use crate::encoding::decode_unlimited;

/// How deep a value may be nested, so that hostile bytes cannot exhaust the stack.
const DEPTH: usize = 128;
/// How many values there may be, and how many more for each byte: some, such as `()` and what consists of them, take none, so that a
/// few hostile bytes, or a hostile shape, could say that there are any number.
const VALUES: usize = 1 << 20;
const VALUES_PER_BYTE: usize = 16;

/// What a field holds, without its Rust type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Unit,
    /// A truth value.
    Bool(bool),
    /// A signed integer of any width.
    Signed(i128),
    /// An unsigned integer of any width.
    Unsigned(u128),
    /// A number of 32 bits.
    F32(f32),
    /// A number of 64 bits.
    F64(f64),
    /// One character.
    Char(char),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Something or nothing.
    Option(Option<Box<Value>>),
    /// Elements of a list.
    List(Vec<Value>),
    /// Keys and values of a map, in their order.
    Map(Vec<(Value, Value)>),
    /// Elements of a tuple or an array, or fields of a struct, in their order.
    Tuple(Vec<Value>),
    /// The number of an enum's variant, and its fields.
    Variant(u32, Vec<Value>),
}

impl Value {
    /// Reads bytes of this shape.
    ///
    /// # Errors
    /// If the bytes are not of this shape, or some of it is [opaque](Node::Opaque).
    pub(crate) fn decode(shape: &Shape, bytes: &[u8]) -> Result<Self, DecodeError> {
        let left = Cell::new(bytes.len().saturating_mul(VALUES_PER_BYTE).saturating_add(VALUES));
        decode_unlimited(At { shape, node: &shape.root, depth: 0, left: &left }, bytes)
    }

    /// Writes bytes of this shape.
    ///
    /// # Errors
    /// If the value is not of this shape.
    pub(crate) fn encode(&self, shape: &Shape) -> Result<Vec<u8>, EncodeError> {
        let left = Cell::new(usize::MAX);
        let at = At { shape, node: &shape.root, depth: 0, left: &left };
        bincode::serde::encode_to_vec(Shaped { at, value: self }, config::standard())
    }
}

/// A place in a shape.
#[derive(Clone, Copy)]
struct At<'a> {
    shape: &'a Shape,
    node: &'a Node,
    depth: usize,
    /// How many more values there may be.
    left: &'a Cell<usize>,
}

impl<'a> At<'a> {
    fn inner(self, node: &'a Node) -> Self {
        Self { node, depth: self.depth + 1, ..self }
    }

    fn content(&self, place: u32) -> Option<&'a Content> {
        self.shape.named(place).map(|named| &named.content)
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH {
            return Err(de::Error::custom("the value is nested too deeply"));
        }
        self.left.set(self.left.get().checked_sub(1).ok_or_else(|| de::Error::custom("the value has too many parts"))?);
        match self.node {
            Node::Opaque => Err(de::Error::custom("what the bytes mean is known to the program only")),
            Node::Unit => d.deserialize_unit(self),
            Node::Bool => d.deserialize_bool(self),
            Node::Signed(8) => d.deserialize_i8(self),
            Node::Signed(16) => d.deserialize_i16(self),
            Node::Signed(32) => d.deserialize_i32(self),
            Node::Signed(64) => d.deserialize_i64(self),
            Node::Signed(_) => d.deserialize_i128(self),
            Node::Unsigned(8) => d.deserialize_u8(self),
            Node::Unsigned(16) => d.deserialize_u16(self),
            Node::Unsigned(32) => d.deserialize_u32(self),
            Node::Unsigned(64) => d.deserialize_u64(self),
            Node::Unsigned(_) => d.deserialize_u128(self),
            Node::Float(32) => d.deserialize_f32(self),
            Node::Float(_) => d.deserialize_f64(self),
            Node::Char => d.deserialize_char(self),
            // Borrowed: for an owned one, bincode would set aside what its length says.
            Node::Text => d.deserialize_str(self),
            Node::Bytes => d.deserialize_bytes(self),
            Node::Option(_) => d.deserialize_option(self),
            Node::List(_) => d.deserialize_seq(self),
            Node::Map(..) => d.deserialize_map(self),
            Node::Tuple(nodes) => d.deserialize_tuple(nodes.len(), self),
            Node::Array(_, count) if *count as usize > self.left.get() => Err(de::Error::custom("the array is too long")),
            Node::Array(_, count) => d.deserialize_tuple(*count as usize, self),
            Node::Type(place) => match self.content(*place) {
                None => Err(de::Error::custom("the shape is damaged")),
                Some(Content::Struct(fields)) => d.deserialize_tuple(fields.nodes().len(), self),
                Some(Content::Enum(_)) => d.deserialize_enum("", &[], self),
            },
        }
    }
}

macro_rules! visit {
    ($($method:ident $ty:ty, $variant:ident;)*) => {$(
        fn $method<E: de::Error>(self, value: $ty) -> Result<Value, E> {
            Ok(Value::$variant(value.into()))
        }
    )*};
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the stored shape")
    }

    visit! {
        visit_bool bool, Bool;
        visit_i8 i8, Signed; visit_i16 i16, Signed; visit_i32 i32, Signed; visit_i64 i64, Signed; visit_i128 i128, Signed;
        visit_u8 u8, Unsigned; visit_u16 u16, Unsigned; visit_u32 u32, Unsigned; visit_u64 u64, Unsigned;
        visit_u128 u128, Unsigned;
        visit_f32 f32, F32; visit_f64 f64, F64;
        visit_char char, Char; visit_str &str, Text; visit_bytes &[u8], Bytes;
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Unit)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        let Node::Option(inner) = self.node else { return Err(de::Error::custom("the shape is damaged")) };
        Ok(Value::Option(Some(Box::new(self.inner(inner).deserialize(d)?))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        if let Node::List(inner) = self.node {
            while let Some(element) = access.next_element_seed(self.inner(inner))? {
                elements.push(element);
            }
            return Ok(Value::List(elements));
        }
        let mut add = |node| {
            let missing = || de::Error::custom("the value is too short");
            elements.push(access.next_element_seed(self.inner(node))?.ok_or_else(missing)?);
            Ok(())
        };
        match self.node {
            // Not by its parts, whose list would take memory for each array inside of another one.
            Node::Array(inner, count) => (0..*count).try_for_each(|_| add(inner))?,
            _ => self.parts().into_iter().try_for_each(add)?,
        }
        Ok(Value::Tuple(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Node::Map(key, value) = self.node else { return Err(de::Error::custom("the shape is damaged")) };
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(self.inner(key))? {
            entries.push((key, access.next_value_seed(self.inner(value))?));
        }
        Ok(Value::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let damaged = || de::Error::custom("the shape is damaged");
        let Node::Type(place) = self.node else { return Err(damaged()) };
        let Some(Content::Enum(variants)) = self.content(*place) else { return Err(damaged()) };
        let (number, access) = access.variant::<u32>()?;
        let (_, fields) = variants
            .get(number as usize)
            .ok_or_else(|| de::Error::custom(format!("there is no variant {number}, but {}", variants.len())))?;
        // Bincode writes the fields of all kinds of variants alike, one after the other.
        let nodes = fields.nodes();
        let visitor = Several { at: self, nodes: &nodes };
        Ok(Value::Variant(number, access.tuple_variant(nodes.len(), visitor)?))
    }
}

impl<'a> At<'a> {
    /// The parts of a tuple, an array, or a struct.
    fn parts(&self) -> Vec<&'a Node> {
        match self.node {
            Node::Tuple(nodes) => nodes.iter().collect(),
            Node::Array(node, count) => vec![&**node; *count as usize],
            Node::Type(place) => match self.content(*place) {
                Some(Content::Struct(fields)) => fields.nodes(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

/// The fields of a variant.
struct Several<'a, 'n> {
    at: At<'a>,
    nodes: &'n [&'a Node],
}

impl<'de> Visitor<'de> for Several<'_, '_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of a variant")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<Value>, A::Error> {
        let missing = || de::Error::custom("the variant is too short");
        self.nodes.iter().map(|node| access.next_element_seed(self.at.inner(node))?.ok_or_else(missing)).collect()
    }
}

/// A value with its shape, to be written.
struct Shaped<'a> {
    at: At<'a>,
    value: &'a Value,
}

impl<'a> Shaped<'a> {
    fn inner(&self, node: &'a Node, value: &'a Value) -> Self {
        Self { at: self.at.inner(node), value }
    }

    fn parts<S: Serializer>(&self, nodes: &[&'a Node], values: &'a [Value], s: S) -> Result<S::Ok, S::Error> {
        if nodes.len() != values.len() {
            return Err(serde::ser::Error::custom(format!("it has {} parts, and needs {}", values.len(), nodes.len())));
        }
        let mut tuple = s.serialize_tuple(nodes.len())?;
        for (node, value) in nodes.iter().zip(values) {
            tuple.serialize_element(&self.inner(node, value))?;
        }
        tuple.end()
    }
}

/// An integer of the width that is asked for.
fn narrow<T: TryFrom<N>, N: fmt::Display + Copy, E: serde::ser::Error>(number: N) -> Result<T, E> {
    T::try_from(number).map_err(|_| E::custom(format!("{number} is out of range")))
}

impl Serialize for Shaped<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match (self.at.node, self.value) {
            (Node::Unit, Value::Unit) => s.serialize_unit(),
            (Node::Bool, Value::Bool(value)) => s.serialize_bool(*value),
            (Node::Signed(8), Value::Signed(n)) => s.serialize_i8(narrow(*n)?),
            (Node::Signed(16), Value::Signed(n)) => s.serialize_i16(narrow(*n)?),
            (Node::Signed(32), Value::Signed(n)) => s.serialize_i32(narrow(*n)?),
            (Node::Signed(64), Value::Signed(n)) => s.serialize_i64(narrow(*n)?),
            (Node::Signed(_), Value::Signed(n)) => s.serialize_i128(*n),
            (Node::Unsigned(8), Value::Unsigned(n)) => s.serialize_u8(narrow(*n)?),
            (Node::Unsigned(16), Value::Unsigned(n)) => s.serialize_u16(narrow(*n)?),
            (Node::Unsigned(32), Value::Unsigned(n)) => s.serialize_u32(narrow(*n)?),
            (Node::Unsigned(64), Value::Unsigned(n)) => s.serialize_u64(narrow(*n)?),
            (Node::Unsigned(_), Value::Unsigned(n)) => s.serialize_u128(*n),
            (Node::Float(32), Value::F32(value)) => s.serialize_f32(*value),
            (Node::Float(_), Value::F64(value)) => s.serialize_f64(*value),
            (Node::Char, Value::Char(value)) => s.serialize_char(*value),
            (Node::Text, Value::Text(value)) => s.serialize_str(value),
            (Node::Bytes, Value::Bytes(value)) => s.serialize_bytes(value),
            (Node::Option(_), Value::Option(None)) => s.serialize_none(),
            (Node::Option(node), Value::Option(Some(value))) => s.serialize_some(&self.inner(node, value)),
            (Node::List(node), Value::List(values)) => {
                let mut list = s.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(&self.inner(node, value)))?;
                list.end()
            }
            (Node::Map(key_node, node), Value::Map(entries)) => {
                let mut map = s.serialize_map(Some(entries.len()))?;
                let mut put = |(key, value)| map.serialize_entry(&self.inner(key_node, key), &self.inner(node, value));
                entries.iter().map(|(key, value)| (key, value)).try_for_each(&mut put)?;
                map.end()
            }
            (Node::Array(_, count), Value::Tuple(values)) if values.len() != *count as usize => {
                Err(serde::ser::Error::custom(format!("it has {} parts, and needs {count}", values.len())))
            }
            (Node::Tuple(_) | Node::Array(..), Value::Tuple(values)) => self.parts(&self.at.parts(), values, s),
            (Node::Type(place), value) => self.named(*place, value, s),
            (Node::Opaque, _) => Err(serde::ser::Error::custom("what the bytes mean is known to the program only")),
            (node, value) => Err(serde::ser::Error::custom(format!("it is {value:?}, and needs {node:?}"))),
        }
    }
}

impl<'a> Shaped<'a> {
    fn named<S: Serializer>(&self, place: u32, value: &'a Value, s: S) -> Result<S::Ok, S::Error> {
        match (self.at.content(place), value) {
            (Some(Content::Struct(fields)), Value::Tuple(values)) => self.parts(&fields.nodes(), values, s),
            (Some(Content::Enum(variants)), Value::Variant(number, values)) => {
                let wrong = || serde::ser::Error::custom(format!("there is no variant {number}"));
                let (_, fields) = variants.get(*number as usize).ok_or_else(wrong)?;
                let nodes = fields.nodes();
                // As bincode writes an enum: its number, and then its fields.
                let mut tuple = s.serialize_tuple(2)?;
                tuple.serialize_element(number)?;
                tuple.serialize_element(&Parts { shaped: self, nodes, values })?;
                tuple.end()
            }
            _ => Err(serde::ser::Error::custom(format!("it is {value:?}, and needs another kind of type"))),
        }
    }
}

struct Parts<'s, 'a> {
    shaped: &'s Shaped<'a>,
    nodes: Vec<&'a Node>,
    values: &'a [Value],
}

impl Serialize for Parts<'_, '_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.shaped.parts(&self.nodes, self.values, s)
    }
}
