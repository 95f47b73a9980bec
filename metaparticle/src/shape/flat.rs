//! A node as it is stored: a list, outermost first. Bytes of a tree would be read recursively, so that hostile ones could exhaust
//! the stack.

use serde::{Deserialize, Serialize};

use super::Node;

/// How deep a shape may be nested, types by reference not counted.
const DEPTH: usize = 64;

/// One step of a node; what is inside of it follows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Flat {
    Opaque,
    Unit,
    Bool,
    Signed(u8),
    Unsigned(u8),
    Float(u8),
    Char,
    Text,
    Bytes,
    Option,
    List,
    Map,
    /// Of so many.
    Tuple(u32),
    /// Of so many.
    Array(u32),
    Type(u32),
}

impl From<Node> for Vec<Flat> {
    fn from(node: Node) -> Self {
        let mut steps = Vec::new();
        flatten(&node, &mut steps);
        steps
    }
}

fn flatten(node: &Node, steps: &mut Vec<Flat>) {
    steps.push(match node {
        Node::Opaque => Flat::Opaque,
        Node::Unit => Flat::Unit,
        Node::Bool => Flat::Bool,
        Node::Signed(bits) => Flat::Signed(*bits),
        Node::Unsigned(bits) => Flat::Unsigned(*bits),
        Node::Float(bits) => Flat::Float(*bits),
        Node::Char => Flat::Char,
        Node::Text => Flat::Text,
        Node::Bytes => Flat::Bytes,
        Node::Option(_) => Flat::Option,
        Node::List(_) => Flat::List,
        Node::Map(..) => Flat::Map,
        Node::Tuple(nodes) => Flat::Tuple(nodes.len() as u32),
        Node::Array(_, count) => Flat::Array(*count),
        Node::Type(place) => Flat::Type(*place),
    });
    match node {
        Node::Option(inner) | Node::List(inner) | Node::Array(inner, _) => flatten(inner, steps),
        Node::Map(key, value) => {
            flatten(key, steps);
            flatten(value, steps);
        }
        Node::Tuple(nodes) => nodes.iter().for_each(|node| flatten(node, steps)),
        _ => {}
    }
}

impl TryFrom<Vec<Flat>> for Node {
    type Error = &'static str;

    fn try_from(steps: Vec<Flat>) -> Result<Self, &'static str> {
        let mut steps = steps.into_iter();
        let node = unflatten(&mut steps, 0)?;
        match steps.next() {
            None => Ok(node),
            Some(_) => Err("a shape goes on after its end"),
        }
    }
}

fn unflatten(steps: &mut std::vec::IntoIter<Flat>, depth: usize) -> Result<Node, &'static str> {
    if depth > DEPTH {
        return Err("a shape is nested too deeply");
    }
    let step = steps.next().ok_or("a shape ends too early")?;
    let mut inner = || unflatten(steps, depth + 1);
    Ok(match step {
        Flat::Opaque => Node::Opaque,
        Flat::Unit => Node::Unit,
        Flat::Bool => Node::Bool,
        Flat::Signed(bits) => Node::Signed(bits),
        Flat::Unsigned(bits) => Node::Unsigned(bits),
        Flat::Float(bits) => Node::Float(bits),
        Flat::Char => Node::Char,
        Flat::Text => Node::Text,
        Flat::Bytes => Node::Bytes,
        Flat::Option => Node::Option(Box::new(inner()?)),
        Flat::List => Node::List(Box::new(inner()?)),
        Flat::Map => Node::Map(Box::new(inner()?), Box::new(inner()?)),
        Flat::Tuple(count) => Node::Tuple((0..count).map(|_| inner()).collect::<Result<_, _>>()?),
        Flat::Array(count) => Node::Array(Box::new(inner()?), count),
        Flat::Type(place) => Node::Type(place),
    })
}
