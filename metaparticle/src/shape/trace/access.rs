//! The deserializer that has nothing to give but samples, and writes down what it is asked for.

use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Fields, Node, Refused, SAMPLES, Tracer};

/// A struct has one variant.
const STRUCT: &[&str] = &["struct"];

/// Writes down, in `node`, what it is asked for.
pub(super) struct Deserializer<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) node: &'a mut Node,
}

impl Deserializer<'_> {
    /// What `get` finds in its node, or something unknown.
    fn inside(&self, get: fn(&Node) -> Option<&Node>) -> Node {
        get(self.node).cloned().unwrap_or(Node::Opaque)
    }

    fn text(&self) -> &'static str {
        SAMPLES[self.tracer.sample].1
    }

    fn structure<'de, V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: Fields,
        visit: impl FnOnce(V, &mut Tracer, &mut [&mut Node]) -> Result<V::Value, Refused>,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let place = self.tracer.place(typeid::of::<V::Value>(), name, STRUCT, false)?;
        *self.node = Node::Type(place);
        let entered = self.tracer.enter(place)?;
        let result = variant(self.tracer, place, 0, fields, |tracer, nodes| visit(visitor, tracer, nodes));
        self.tracer.leave(entered);
        result
    }
}

fn in_option(node: &Node) -> Option<&Node> {
    if let Node::Option(inside) = node { Some(inside) } else { None }
}

fn in_list(node: &Node) -> Option<&Node> {
    if let Node::List(inside) = node { Some(inside) } else { None }
}

fn key_of(node: &Node) -> Option<&Node> {
    if let Node::Map(key, _) = node { Some(key) } else { None }
}

fn value_of(node: &Node) -> Option<&Node> {
    if let Node::Map(_, value) = node { Some(value) } else { None }
}

/// Visits the fields of a variant, which are `new` when they are met first, and keeps what was found out, also if it is refused.
fn variant<R>(
    tracer: &mut Tracer,
    place: u32,
    index: usize,
    new: Fields,
    visit: impl FnOnce(&mut Tracer, &mut [&mut Node]) -> Result<R, Refused>,
) -> Result<R, Refused> {
    let mut fields = tracer.fields(place, index, new);
    let reentries = tracer.reentries;
    let result = visit(tracer, &mut nodes_of(&mut fields));
    tracer.learn(place, index, fields, result.is_ok() && tracer.reentries == reentries);
    result
}

fn nodes_of(fields: &mut Fields) -> Vec<&mut Node> {
    match fields {
        Fields::Unit => Vec::new(),
        Fields::Tuple(nodes) => each(nodes),
        Fields::Named(fields) => fields.iter_mut().map(|(_, node)| node).collect(),
    }
}

fn each(nodes: &mut [Node]) -> Vec<&mut Node> {
    nodes.iter_mut().collect()
}

fn unnamed(count: usize) -> Fields {
    Fields::Tuple(vec![Node::Opaque; count])
}

fn named(names: &'static [&'static str]) -> Fields {
    Fields::Named(names.iter().map(|name| ((*name).to_owned(), Node::Opaque)).collect())
}

macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty, $node:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            *self.node = $node;
            visitor.$visit(<$ty>::from(SAMPLES[self.tracer.sample].0))
        }
    )*};
}

impl<'de> serde::Deserializer<'de> for Deserializer<'_> {
    type Error = Refused;

    numbers! {
        deserialize_u8 visit_u8 u8, Node::Unsigned(8);
        deserialize_u16 visit_u16 u16, Node::Unsigned(16);
        deserialize_u32 visit_u32 u32, Node::Unsigned(32);
        deserialize_u64 visit_u64 u64, Node::Unsigned(64);
        deserialize_u128 visit_u128 u128, Node::Unsigned(128);
        deserialize_i16 visit_i16 i16, Node::Signed(16);
        deserialize_i32 visit_i32 i32, Node::Signed(32);
        deserialize_i64 visit_i64 i64, Node::Signed(64);
        deserialize_i128 visit_i128 i128, Node::Signed(128);
        deserialize_f32 visit_f32 f32, Node::Float(32);
        deserialize_f64 visit_f64 f64, Node::Float(64);
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Signed(8);
        visitor.visit_i8(SAMPLES[self.tracer.sample].0 as i8)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Bool;
        visitor.visit_bool(false)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Char;
        visitor.visit_char('a')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Text;
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Text;
        visitor.visit_string(self.text().to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Bytes;
        visitor.visit_borrowed_bytes(bytes(self.tracer.sample))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Bytes;
        visitor.visit_byte_buf(bytes(self.tracer.sample).to_vec())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut inside = self.inside(in_option);
        let result = if self.tracer.goes_into(&inside) {
            visitor.visit_some(Deserializer { tracer: self.tracer, node: &mut inside })
        } else {
            visitor.visit_none()
        };
        *self.node = Node::Option(Box::new(inside));
        result
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.node = Node::Unit;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.structure(name, Fields::Unit, |visitor, _, _| visitor.visit_unit(), visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        let visit = |visitor: V, tracer: &mut Tracer, nodes: &mut [&mut Node]| match nodes {
            [node] => visitor.visit_newtype_struct(Deserializer { tracer, node }),
            _ => Err(Refused),
        };
        self.structure(name, unnamed(1), visit, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut inside = self.inside(in_list);
        let result = match self.tracer.goes_into(&inside) {
            true => visitor.visit_seq(Elements { tracer: self.tracer, nodes: &mut [&mut inside], next: 0 }),
            false => visitor.visit_seq(Elements { tracer: self.tracer, nodes: &mut [], next: 0 }),
        };
        *self.node = Node::List(Box::new(inside));
        result
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        let mut inside = parts(self.node, len);
        let result = visitor.visit_seq(Elements { tracer: self.tracer, nodes: &mut each(&mut inside), next: 0 });
        *self.node = tuple(inside);
        result
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, name: &'static str, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.structure(name, unnamed(len), visit_elements, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut key = self.inside(key_of);
        let mut value = self.inside(value_of);
        let left = self.tracer.goes_into(&key) || self.tracer.goes_into(&value);
        let result = visitor.visit_map(Entry { tracer: self.tracer, key: &mut key, value: &mut value, left });
        *self.node = Node::Map(Box::new(key), Box::new(value));
        result
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.structure(name, named(fields), visit_elements, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if variants.is_empty() {
            return Err(Refused);
        }
        let place = self.tracer.place(typeid::of::<V::Value>(), name, variants, true)?;
        *self.node = Node::Type(place);
        let entered = self.tracer.enter(place)?;
        let index = self.tracer.choose(place);
        let result = visitor.visit_enum(Chosen { tracer: self.tracer, place, index });
        self.tracer.leave(entered);
        result
    }

    /// These need a format that describes itself, which bincode does not.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What is known of the parts of a tuple.
fn parts(node: &Node, len: usize) -> Vec<Node> {
    match node {
        Node::Tuple(nodes) if nodes.len() == len => nodes.clone(),
        Node::Array(node, _) => vec![(**node).clone(); len],
        _ => vec![Node::Opaque; len],
    }
}

/// A tuple of these, which is an array if they are all alike.
fn tuple(parts: Vec<Node>) -> Node {
    let alike = parts.len() > 1 && parts.windows(2).all(|pair| pair[0] == pair[1]);
    match parts.first() {
        Some(first) if alike => Node::Array(Box::new(first.clone()), parts.len() as u32),
        _ => Node::Tuple(parts),
    }
}

/// UUIDs want 16 bytes, other types any number.
fn bytes(sample: usize) -> &'static [u8] {
    if sample == 0 { &[0; 16] } else { &[] }
}

fn visit_elements<'de, V: Visitor<'de>>(visitor: V, tracer: &mut Tracer, nodes: &mut [&mut Node]) -> Result<V::Value, Refused> {
    visitor.visit_seq(Elements { tracer, nodes, next: 0 })
}

struct Elements<'a, 'n> {
    tracer: &'a mut Tracer,
    nodes: &'a mut [&'n mut Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        let Some(node) = self.nodes.get_mut(self.next) else { return Ok(None) };
        self.next += 1;
        seed.deserialize(Deserializer { tracer: self.tracer, node }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len() - self.next)
    }
}

/// A map of one entry, or of none.
struct Entry<'a> {
    tracer: &'a mut Tracer,
    key: &'a mut Node,
    value: &'a mut Node,
    left: bool,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        if !std::mem::take(&mut self.left) {
            return Ok(None);
        }
        seed.deserialize(Deserializer { tracer: self.tracer, node: self.key }).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(Deserializer { tracer: self.tracer, node: self.value })
    }
}

/// The variant of an enum that is met in this run.
struct Chosen<'a> {
    tracer: &'a mut Tracer,
    place: u32,
    index: usize,
}

impl<'de> EnumAccess<'de> for Chosen<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Refused> {
        let number: U32Deserializer<Refused> = (self.index as u32).into_deserializer();
        match seed.deserialize(number) {
            Ok(value) => Ok((value, self)),
            Err(refused) => {
                // So that the next run meets another one.
                self.tracer.fields(self.place, self.index, unnamed(1));
                self.tracer.types[self.place as usize].variants[self.index].refused = true;
                Err(refused)
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        variant(self.tracer, self.place, self.index, Fields::Unit, |_, _| Ok(()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        variant(self.tracer, self.place, self.index, unnamed(1), |tracer, nodes| match nodes {
            [node] => seed.deserialize(Deserializer { tracer, node }),
            _ => Err(Refused),
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        let visit = |tracer: &mut Tracer, nodes: &mut [&mut Node]| visit_elements(visitor, tracer, nodes);
        variant(self.tracer, self.place, self.index, unnamed(len), visit)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Refused> {
        let visit = |tracer: &mut Tracer, nodes: &mut [&mut Node]| visit_elements(visitor, tracer, nodes);
        variant(self.tracer, self.place, self.index, named(fields), visit)
    }
}
