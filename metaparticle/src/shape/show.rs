//! How a shape reads in messages: `u32`, `[text]`, `struct Point { x: i32, y: i32 }`.

use std::cell::RefCell;
use std::fmt::{self, Display, Formatter};

use super::{Content, Fields, Node, Shape};

/// How deep a shape is shown, so that a hostile one cannot exhaust the stack.
const DEPTH: usize = 128;

impl Display for Shape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shown = RefCell::new(vec![false; self.types.len()]);
        At { shape: self, node: &self.root, shown: &shown, depth: 0 }.fmt(f)
    }
}

impl Shape {
    /// The Rust type of a simple shape, to be proposed.
    pub(crate) fn plain_type(&self) -> Option<String> {
        match self.root {
            Node::Text => Some("String".to_owned()),
            Node::Bool | Node::Signed(_) | Node::Unsigned(_) | Node::Float(_) | Node::Char => Some(self.to_string()),
            _ => None,
        }
    }
}

/// A node, and which types were written out before it: each is only once.
struct At<'a> {
    shape: &'a Shape,
    node: &'a Node,
    shown: &'a RefCell<Vec<bool>>,
    depth: usize,
}

impl<'a> At<'a> {
    fn inner(&self, node: &'a Node) -> Self {
        Self { node, depth: self.depth + 1, ..*self }
    }

    fn fields(&self, f: &mut Formatter<'_>, fields: &'a Fields) -> fmt::Result {
        match fields {
            Fields::Unit => Ok(()),
            Fields::Tuple(nodes) => self.list(f, "(", nodes, ")"),
            Fields::Named(fields) => {
                f.write_str(" { ")?;
                for (index, (name, node)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {}", if index > 0 { ", " } else { "" }, self.inner(node))?;
                }
                f.write_str(" }")
            }
        }
    }

    fn list(&self, f: &mut Formatter<'_>, start: &str, nodes: &'a [Node], end: &str) -> fmt::Result {
        f.write_str(start)?;
        for (index, node) in nodes.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { ", " } else { "" }, self.inner(node))?;
        }
        f.write_str(end)
    }

    fn named(&self, f: &mut Formatter<'_>, place: u32) -> fmt::Result {
        let Some(named) = self.shape.named(place) else { return f.write_str("damaged") };
        if std::mem::replace(&mut self.shown.borrow_mut()[place as usize], true) {
            return f.write_str(&named.name);
        }
        match &named.content {
            Content::Struct(fields) => {
                write!(f, "struct {}", named.name)?;
                self.fields(f, fields)
            }
            Content::Enum(variants) => {
                write!(f, "enum {} {{ ", named.name)?;
                for (index, (name, fields)) in variants.iter().enumerate() {
                    write!(f, "{}{name}", if index > 0 { ", " } else { "" })?;
                    self.fields(f, fields)?;
                }
                f.write_str(" }")
            }
        }
    }
}

impl Display for At<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.node {
            _ if self.depth > DEPTH => f.write_str("…"),
            Node::Opaque => f.write_str("opaque"),
            Node::Unit => f.write_str("()"),
            Node::Bool => f.write_str("bool"),
            Node::Signed(bits) => write!(f, "i{bits}"),
            Node::Unsigned(bits) => write!(f, "u{bits}"),
            Node::Float(bits) => write!(f, "f{bits}"),
            Node::Char => f.write_str("char"),
            Node::Text => f.write_str("text"),
            Node::Bytes => f.write_str("bytes"),
            Node::Option(inner) => write!(f, "Option<{}>", self.inner(inner)),
            Node::List(inner) => write!(f, "[{}]", self.inner(inner)),
            Node::Map(key, value) => write!(f, "{{{}: {}}}", self.inner(key), self.inner(value)),
            Node::Tuple(nodes) => self.list(f, "(", nodes, ")"),
            Node::Array(inner, count) => write!(f, "[{}; {count}]", self.inner(inner)),
            Node::Type(place) => self.named(f, *place),
        }
    }
}
