//! Whether bytes of one shape can be read as another, and how.
//!
//! Read without being asked: what has the same bytes; integers and floating-point numbers that were made wider without loss; a
//! plain value as an `Option`; fields of a nested struct in another order, and further ones that are `Option`s; further
//! variants of an enum, and variants in another order. Nothing is read that would lose something when it is written again.

use super::{Content, Fields, Node, Shape, Value};
use crate::error::{Error, ErrorKind, Result};

/// How bytes of one shape are read as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As they are.
    Same,
    /// After [`transcode`].
    Converted,
}

/// How bytes of the shape `from` are read as `to`; where they cannot be, in words, what does not fit.
pub(crate) fn fit(from: &Shape, to: &Shape) -> Result<Fit, String> {
    if from == to {
        return Ok(Fit::Same);
    }
    let same = Compare { from, to, seen: Vec::new(), depth: 0 }.node(&from.root, &to.root, "")?;
    // What is partly opaque can be read as it is, or not at all.
    if !same && (from.is_opaque() || to.is_opaque()) {
        return Err(String::new());
    }
    Ok(if same { Fit::Same } else { Fit::Converted })
}

struct Compare<'a> {
    from: &'a Shape,
    to: &'a Shape,
    /// Pairs of types that are being compared already, further out: a type may contain itself.
    seen: Vec<(u32, u32)>,
    depth: usize,
}

/// How deep shapes are compared. None that was traced is deeper; a damaged one may be endless.
const DEPTH: usize = 1 << 10;

impl Compare<'_> {
    /// Whether the bytes are the same; an error says where they do not fit.
    fn node(&mut self, from: &Node, to: &Node, path: &str) -> Result<bool, String> {
        if self.depth > DEPTH {
            return Err(path.to_owned());
        }
        self.depth += 1;
        let same = self.unequal(from, to, path);
        self.depth -= 1;
        same
    }

    fn unequal(&mut self, from: &Node, to: &Node, path: &str) -> Result<bool, String> {
        match (from, to) {
            // Whether they fit comes out when they are read.
            (Node::Opaque, _) | (_, Node::Opaque) => Ok(true),
            (Node::Option(from), Node::Option(to)) | (Node::List(from), Node::List(to)) => self.node(from, to, path),
            (Node::Map(key, value), Node::Map(to_key, to_value)) => {
                Ok(self.node(key, to_key, path)? & self.node(value, to_value, path)?)
            }
            (Node::Array(from, count), Node::Array(to, to_count)) if count == to_count => self.node(from, to, path),
            (Node::Tuple(from), Node::Tuple(to)) if from.len() == to.len() => {
                self.nodes(&from.iter().collect::<Vec<_>>(), &to.iter().collect::<Vec<_>>(), path)
            }
            // A tuple of equal types is traced as an array.
            (Node::Array(from, count), Node::Tuple(to)) if *count as usize == to.len() => {
                to.iter().try_fold(true, |same, to| Ok(same & self.node(from, to, path)?))
            }
            (Node::Tuple(from), Node::Array(to, count)) if from.len() == *count as usize => {
                from.iter().try_fold(true, |same, from| Ok(same & self.node(from, to, path)?))
            }
            (Node::Type(from), Node::Type(to)) => self.types(*from, *to, path),
            (Node::Type(from), to) if self.from.newtype(*from).is_some() => {
                self.from.newtype(*from).map_or(Ok(true), |inner| self.node(inner, to, path))
            }
            (from, Node::Type(to)) if self.to.newtype(*to).is_some() => {
                self.to.newtype(*to).map_or(Ok(true), |inner| self.node(from, inner, path))
            }
            (from, to) if from == to => Ok(true),
            (from, to) if is_wider(from, to) => Ok(false),
            (from, Node::Option(to)) => self.node(from, to, path).map(|_| false),
            _ => Err(path.to_owned()),
        }
    }

    fn nodes(&mut self, from: &[&Node], to: &[&Node], path: &str) -> Result<bool, String> {
        if from.len() != to.len() {
            return Err(path.to_owned());
        }
        from.iter().zip(to).try_fold(true, |same, (from, to)| Ok(same & self.node(from, to, path)?))
    }

    fn types(&mut self, from: u32, to: u32, path: &str) -> Result<bool, String> {
        if self.seen.contains(&(from, to)) {
            return Ok(true);
        }
        self.seen.push((from, to));
        let damaged = || path.to_owned();
        let (old, new) = (self.from.named(from).ok_or_else(damaged)?, self.to.named(to).ok_or_else(damaged)?);
        match (&old.content, &new.content) {
            (Content::Struct(from), Content::Struct(to)) => self.fields(from, to, path),
            (Content::Enum(from), Content::Enum(to)) => {
                let mut same = true;
                for (number, (name, fields)) in from.iter().enumerate() {
                    let path = format!("{path}::{name}");
                    let position = to.iter().position(|(other, _)| other == name).ok_or_else(|| path.clone())?;
                    same &= self.fields(fields, &to[position].1, &path)? && position == number;
                }
                Ok(same)
            }
            _ => Err(path.to_owned()),
        }
    }

    fn fields(&mut self, from: &Fields, to: &Fields, path: &str) -> Result<bool, String> {
        let (Fields::Named(old), Fields::Named(new)) = (from, to) else {
            return self.nodes(&from.nodes(), &to.nodes(), path);
        };
        let mut same = old.len() == new.len();
        for (index, (name, node)) in old.iter().enumerate() {
            let path = format!("{path}.{name}");
            let position = new.iter().position(|(other, _)| other == name).ok_or_else(|| path.clone())?;
            same &= self.node(node, &new[position].1, &path)? && position == index;
        }
        // What the old struct does not have can only be nothing.
        match new.iter().find(|(name, node)| !old.iter().any(|(old, _)| old == name) && !matches!(node, Node::Option(_))) {
            Some((name, _)) => Err(format!("{path}.{name}")),
            None => Ok(same),
        }
    }
}

impl Shape {
    /// What a struct of one field without a name holds: it has the same bytes.
    fn newtype(&self, place: u32) -> Option<&Node> {
        match &self.named(place)?.content {
            Content::Struct(Fields::Tuple(nodes)) => match &nodes[..] {
                [node] => Some(node),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether every number of the one is a number of the other.
fn is_wider(from: &Node, to: &Node) -> bool {
    match (from, to) {
        (Node::Unsigned(from), Node::Unsigned(to)) | (Node::Signed(from), Node::Signed(to)) => from < to,
        (Node::Unsigned(from), Node::Signed(to)) => from < to,
        (Node::Unsigned(from) | Node::Signed(from), Node::Float(to)) => match to {
            32 => *from <= 16,
            _ => *from <= 32,
        },
        (Node::Float(from), Node::Float(to)) => from < to,
        _ => false,
    }
}

/// Bytes of one shape as bytes of another, where [`fit`] says that they can be converted.
pub(crate) fn transcode(from: &Shape, to: &Shape, bytes: &[u8]) -> Result<Vec<u8>> {
    let unreadable = |error| Error::with_source(ErrorKind::Corrupt, format!("it is no {from}"), error);
    let value = Value::decode(from, bytes).map_err(unreadable)?;
    let value = Convert { from, to }.node(value, &from.root, &to.root).ok_or_else(|| misfit(from, to))?;
    value.encode(to).map_err(|error| Error::with_source(ErrorKind::Incompatible, format!("it is no {to}"), error))
}

fn misfit(from: &Shape, to: &Shape) -> Error {
    Error::new(ErrorKind::Incompatible, format!("{from} cannot be read as {to}"))
}

struct Convert<'a> {
    from: &'a Shape,
    to: &'a Shape,
}

impl<'a> Convert<'a> {
    fn node(&self, value: Value, from: &'a Node, to: &'a Node) -> Option<Value> {
        Some(match (from, to, value) {
            (Node::Option(from), Node::Option(to), Value::Option(value)) => match value {
                None => Value::Option(None),
                Some(value) => Value::Option(Some(Box::new(self.node(*value, from, to)?))),
            },
            (Node::List(from), Node::List(to), Value::List(values)) => {
                Value::List(values.into_iter().map(|value| self.node(value, from, to)).collect::<Option<_>>()?)
            }
            (Node::Map(key, value), Node::Map(to_key, to_value), Value::Map(entries)) => {
                let entry = |(k, v)| Some((self.node(k, key, to_key)?, self.node(v, value, to_value)?));
                Value::Map(entries.into_iter().map(entry).collect::<Option<_>>()?)
            }
            (Node::Array(from, _), Node::Array(to, _), Value::Tuple(values)) => {
                Value::Tuple(values.into_iter().map(|value| self.node(value, from, to)).collect::<Option<_>>()?)
            }
            (Node::Tuple(from), Node::Tuple(to), Value::Tuple(values)) => {
                Value::Tuple(self.nodes(values, &from.iter().collect::<Vec<_>>(), &to.iter().collect::<Vec<_>>())?)
            }
            (Node::Array(from, _), Node::Tuple(to), Value::Tuple(values)) => {
                Value::Tuple(self.nodes(values, &vec![&**from; to.len()], &to.iter().collect::<Vec<_>>())?)
            }
            (Node::Tuple(from), Node::Array(to, _), Value::Tuple(values)) => {
                Value::Tuple(self.nodes(values, &from.iter().collect::<Vec<_>>(), &vec![&**to; from.len()])?)
            }
            (Node::Type(from), Node::Type(to), value) => self.types(value, *from, *to)?,
            (Node::Type(place), to, Value::Tuple(values)) if self.from.newtype(*place).is_some() => {
                self.node(values.into_iter().next()?, self.from.newtype(*place)?, to)?
            }
            (from, Node::Type(place), value) if self.to.newtype(*place).is_some() => {
                Value::Tuple(vec![self.node(value, from, self.to.newtype(*place)?)?])
            }
            (from, to, value) if from == to => value,
            (from, to, value) if is_wider(from, to) => widen(value, to)?,
            (from, Node::Option(to), value) => Value::Option(Some(Box::new(self.node(value, from, to)?))),
            _ => return None,
        })
    }

    fn nodes(&self, values: Vec<Value>, from: &[&'a Node], to: &[&'a Node]) -> Option<Vec<Value>> {
        values.into_iter().zip(from.iter().zip(to)).map(|(value, (from, to))| self.node(value, from, to)).collect()
    }

    fn types(&self, value: Value, from: u32, to: u32) -> Option<Value> {
        Some(match (&self.from.named(from)?.content, &self.to.named(to)?.content, value) {
            (Content::Struct(from), Content::Struct(to), Value::Tuple(values)) => Value::Tuple(self.fields(values, from, to)?),
            (Content::Enum(from), Content::Enum(to), Value::Variant(number, values)) => {
                let (name, fields) = from.get(number as usize)?;
                let position = to.iter().position(|(other, _)| other == name)?;
                Value::Variant(position as u32, self.fields(values, fields, &to[position].1)?)
            }
            _ => return None,
        })
    }

    fn fields(&self, values: Vec<Value>, from: &'a Fields, to: &'a Fields) -> Option<Vec<Value>> {
        let (Fields::Named(old), Fields::Named(new)) = (from, to) else {
            return self.nodes(values, &from.nodes(), &to.nodes());
        };
        let mut values: Vec<Option<Value>> = values.into_iter().map(Some).collect();
        let field = |(name, node): &'a (String, Node)| match old.iter().position(|(old, _)| old == name) {
            Some(at) => self.node(values.get_mut(at)?.take()?, &old[at].1, node),
            None => Some(Value::Option(None)),
        };
        new.iter().map(field).collect()
    }
}

fn widen(value: Value, to: &Node) -> Option<Value> {
    Some(match (value, to) {
        (Value::Unsigned(n), Node::Unsigned(_)) => Value::Unsigned(n),
        (Value::Unsigned(n), Node::Signed(_)) => Value::Signed(i128::try_from(n).ok()?),
        (Value::Signed(n), Node::Signed(_)) => Value::Signed(n),
        // No more digits than the fraction holds: `is_wider` lets no other through.
        (Value::Unsigned(n), Node::Float(32)) => Value::F32(n as f32),
        (Value::Unsigned(n), Node::Float(_)) => Value::F64(n as f64),
        (Value::Signed(n), Node::Float(32)) => Value::F32(n as f32),
        (Value::Signed(n), Node::Float(_)) => Value::F64(n as f64),
        (Value::F32(n), Node::Float(_)) => Value::F64(n.into()),
        _ => return None,
    })
}
