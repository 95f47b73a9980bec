//! Whether a few bytes can stand for a value without end.
//!
//! A type that contains itself can be nested as deep as there are bytes, and exhaust the stack. A list of what takes no bytes, such as
//! `Vec<()>`, can have any number of elements. A program's own types would read on; so such values are first read by their shape, which
//! has limits.

use super::{Content, Fields, Node, Shape};

/// Shapes that are nested deeper are taken for endless ones.
const DEPTH: usize = 64;

impl Shape {
    /// Whether its values have to be read by the shape first.
    pub(crate) fn is_endless(&self) -> bool {
        let mut walk = Walk { shape: self, types: vec![Progress::New; self.types.len()], is_endless: false };
        walk.takes_nothing(&self.root, 0);
        walk.is_endless
    }
}

#[derive(Clone, Copy)]
enum Progress {
    New,
    /// What it consists of is being looked at.
    Begun,
    /// Whether it takes no bytes.
    Done(bool),
}

struct Walk<'a> {
    shape: &'a Shape,
    types: Vec<Progress>,
    is_endless: bool,
}

impl<'a> Walk<'a> {
    /// Whether there are values of it that take no bytes.
    fn takes_nothing(&mut self, node: &'a Node, depth: usize) -> bool {
        if depth > DEPTH {
            self.is_endless = true;
            return true;
        }
        match node {
            Node::Unit => true,
            Node::Option(inner) => {
                self.takes_nothing(inner, depth + 1);
                false
            }
            Node::List(inner) => {
                self.is_endless |= self.takes_nothing(inner, depth + 1);
                false
            }
            Node::Map(key, value) => {
                self.is_endless |= self.takes_nothing(key, depth + 1) & self.takes_nothing(value, depth + 1);
                false
            }
            Node::Tuple(nodes) => self.take_nothing(nodes.iter(), depth),
            Node::Array(inner, count) => self.takes_nothing(inner, depth + 1) | (*count == 0),
            Node::Type(place) => self.type_takes_nothing(*place, depth),
            _ => false,
        }
    }

    /// All are looked at, also behind one that takes bytes.
    fn take_nothing(&mut self, nodes: impl Iterator<Item = &'a Node>, depth: usize) -> bool {
        nodes.fold(true, |nothing, node| nothing & self.takes_nothing(node, depth + 1))
    }

    fn type_takes_nothing(&mut self, place: u32, depth: usize) -> bool {
        let at = place as usize;
        match self.types.get(at) {
            // A damaged shape, that nothing is read by.
            None => return false,
            Some(Progress::Done(nothing)) => return *nothing,
            Some(Progress::Begun) => {
                self.is_endless = true;
                return true;
            }
            Some(Progress::New) => self.types[at] = Progress::Begun,
        }
        let fields = |walk: &mut Self, fields: &'a Fields| walk.take_nothing(fields.nodes().into_iter(), depth);
        let nothing = match &self.shape.types[at].content {
            Content::Struct(of) => fields(self, of),
            Content::Enum(variants) => {
                // A value has its variant's number at the least.
                variants.iter().for_each(|(_, of)| {
                    fields(self, of);
                });
                false
            }
        };
        self.types[at] = Progress::Done(nothing);
        nothing
    }
}
