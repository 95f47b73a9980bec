//! The shape of a field: what its bytes mean, traced from serde and kept in the store, so that they can be read, compared and
//! printed without the program's types.

mod convert;
mod endless;
mod flat;
mod show;
mod trace;
mod value;

use serde::{Deserialize, Serialize};

pub(crate) use self::convert::{Fit, fit, transcode};
pub(crate) use self::trace::{shape_of, shape_of_stored};
pub use self::value::Value;
pub use crate::schema::StoredField;

/// What a field's bytes mean.
///
/// Structs and enums are kept once each, in a list, and referred to by their place in it, so that a type can contain itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub(crate) root: Node,
    pub(crate) types: Vec<NamedType>,
}

/// A place in a shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<flat::Flat>", try_from = "Vec<flat::Flat>")]
pub enum Node {
    /// Something that could not be traced: only the program's types can tell.
    Opaque,
    /// Nothing.
    Unit,
    /// A truth value.
    Bool,
    /// A signed integer of so many bits.
    Signed(u8),
    /// An unsigned integer of so many bits.
    Unsigned(u8),
    /// A floating-point number of so many bits.
    Float(u8),
    /// One character.
    Char,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Something or nothing.
    Option(Box<Node>),
    /// Any number of values, one after the other.
    List(Box<Node>),
    /// Pairs of a key and a value.
    Map(Box<Node>, Box<Node>),
    /// One value of each shape.
    Tuple(Vec<Node>),
    /// So many values of one shape.
    Array(Box<Node>, u32),
    /// The struct or enum at this place of [`Shape::types`].
    Type(u32),
}

/// A struct or enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedType {
    /// As serde names it; it means nothing for the bytes.
    pub name: String,
    /// What it consists of.
    pub content: Content,
}

/// What a struct or enum consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A struct.
    Struct(Fields),
    /// An enum, with the name and fields of each variant; a value says by number which one it is.
    Enum(Vec<(String, Fields)>),
}

/// The fields of a struct or a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fields {
    /// None.
    Unit,
    /// Without names.
    Tuple(Vec<Node>),
    /// With names.
    Named(Vec<(String, Node)>),
}

impl Fields {
    /// The shapes of the fields, in their order.
    pub fn nodes(&self) -> Vec<&Node> {
        match self {
            Self::Unit => Vec::new(),
            Self::Tuple(nodes) => nodes.iter().collect(),
            Self::Named(fields) => fields.iter().map(|(_, node)| node).collect(),
        }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self::OPAQUE
    }
}

impl Shape {
    /// A field that could not be traced.
    pub const OPAQUE: Self = Self { root: Node::Opaque, types: Vec::new() };

    /// Where the shape begins.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The structs and enums that [`Node::Type`] refers to.
    pub fn types(&self) -> &[NamedType] {
        &self.types
    }

    /// The struct or enum at this place; `None` if the shape is damaged.
    pub fn named(&self, place: u32) -> Option<&NamedType> {
        self.types.get(place as usize)
    }

    /// Whether some of it could not be traced.
    pub fn is_opaque(&self) -> bool {
        self.has(&|node| matches!(node, Node::Opaque))
    }

    /// Whether equal values are surely written as equal bytes, of whatever type they are: a list may be of a hash set, whose order is
    /// another each time, and a text may have been made of one.
    pub(crate) fn is_ordered(&self) -> bool {
        use Node::{Bytes, List, Map, Opaque, Text};
        !self.has(&|node| matches!(node, Opaque | List(_) | Map(..) | Text | Bytes))
    }

    fn has(&self, what: &dyn Fn(&Node) -> bool) -> bool {
        let contents = self.types.iter().map(|named| &named.content);
        let fields = contents.flat_map(|content| match content {
            Content::Struct(fields) => vec![fields],
            Content::Enum(variants) => variants.iter().map(|(_, fields)| fields).collect(),
        });
        self.root.has(what) || fields.flat_map(Fields::nodes).any(|node| node.has(what))
    }
}

impl Node {
    fn has(&self, what: &dyn Fn(&Self) -> bool) -> bool {
        let inside = match self {
            Self::Option(inner) | Self::List(inner) | Self::Array(inner, _) => inner.has(what),
            Self::Map(key, value) => key.has(what) || value.has(what),
            Self::Tuple(nodes) => nodes.iter().any(|node| node.has(what)),
            _ => false,
        };
        inside || what(self)
    }
}

#[cfg(test)]
mod tests;
