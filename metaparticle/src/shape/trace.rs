//! Finds the shape of a type by deserializing it from nothing: each question that the type asks of its deserializer says what
//! its bytes mean.
//!
//! One run meets one variant of each enum, so the type is asked again until all variants were met. What a type of its own making
//! refuses (a number that must not be zero, text that must be a date) is offered other samples; what it still refuses stays
//! [`Node::Opaque`]. The idea is that of the crate `serde-reflection`, which cannot complete an enum inside an enum.

mod access;
mod names;

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::{self, DeserializeOwned};

use self::access::Deserializer;
use self::names::Names;
use super::{Content, Fields, NamedType, Node, Shape};
use crate::written::look_at;

/// Bounds of what is tried for one type.
const RUNS: u32 = 2_000;
const DEPTH: usize = 64;
const TYPES: usize = 1_000;

/// What a type may be given: a number, and a text.
const SAMPLES: [(u8, &str); 7] = [
    (0, ""),
    (1, "1"),
    (1, "a"),
    (1, "1970-01-01T00:00:00Z"),
    (1, "1970-01-01"),
    (1, "00000000-0000-0000-0000-000000000000"),
    (1, "http://localhost/"),
];

/// The shape of `T`'s bytes.
pub(crate) fn shape_of<T: DeserializeOwned>() -> Shape {
    shape(|_: &T, _| {})
}

/// The same of a type that can also be written, which tells the names of its fields and variants from their aliases.
pub(crate) fn shape_of_stored<T: Serialize + DeserializeOwned>() -> Shape {
    // What it does not write has no name for now.
    shape(|value: &T, names| drop(look_at(value, names)))
}

fn shape<T: DeserializeOwned>(name: fn(&T, &mut Names)) -> Shape {
    // `T` may have any code in its `Deserialize`; a panic in it only means that it cannot be traced.
    catch_unwind(AssertUnwindSafe(|| Tracer::run(name))).unwrap_or(Shape::OPAQUE)
}

/// What is known of the types met so far.
#[derive(Default)]
struct Tracer {
    types: Vec<Known>,
    places: HashMap<(TypeId, &'static str), u32>,
    /// The types that are being deserialized, the innermost last.
    stack: Vec<u32>,
    /// How many of those were on the stack before: inside, everything is kept as small as it can be.
    reentered: usize,
    /// How often a type was reentered in this run.
    reentries: usize,
    progress: bool,
    sample: usize,
}

struct Known {
    name: &'static str,
    variants: Vec<Variant>,
    is_enum: bool,
}

/// A variant; a struct has one.
struct Variant {
    name: &'static str,
    fields: Fields,
    met: bool,
    /// There is none with this number: serde names variants by their aliases as well.
    refused: bool,
    /// Met without reentering any type, so that it ends a recursion.
    ends: bool,
    tries: u32,
}

impl Variant {
    fn new(name: &'static str) -> Self {
        let fields = Fields::Tuple(vec![Node::Opaque]);
        Self { name, fields, met: false, refused: false, ends: false, tries: 0 }
    }
}

impl Tracer {
    fn run<T: DeserializeOwned>(name: fn(&T, &mut Names)) -> Shape {
        Self::run_with(&mut |tracer, node, names| {
            T::deserialize(Deserializer { tracer, node }).map(|value| name(&value, names)).is_ok()
        })
    }

    /// Asks for values until their shape is known; `ask` tells whether it got one.
    fn run_with(ask: &mut dyn FnMut(&mut Self, &mut Node, &mut Names) -> bool) -> Shape {
        let mut tracer = Self::default();
        let mut names = Names::default();
        let mut root = Node::Opaque;
        let mut idle = 0;
        for _ in 0..RUNS {
            (tracer.progress, tracer.reentries, tracer.reentered) = (false, 0, 0);
            tracer.stack.clear();
            let before = root.clone();
            if !ask(&mut tracer, &mut root, &mut names) {
                tracer.sample = (tracer.sample + 1) % SAMPLES.len();
            }
            idle = if tracer.progress || root != before { 0 } else { idle + 1 };
            tracer.stack.clear();
            if !tracer.wants(&root) || idle > SAMPLES.len() {
                break;
            }
        }
        names.give(&mut tracer.types);
        Shape { root, types: tracer.types.into_iter().map(Known::finish).collect() }
    }

    /// Whether there is something in it that is not known yet.
    fn wants(&self, node: &Node) -> bool {
        self.wants_unless(node, &mut self.stack.clone())
    }

    fn wants_unless(&self, node: &Node, seen: &mut Vec<u32>) -> bool {
        match node {
            Node::Opaque => true,
            Node::Option(inner) | Node::List(inner) | Node::Array(inner, _) => self.wants_unless(inner, seen),
            Node::Map(key, value) => self.wants_unless(key, seen) || self.wants_unless(value, seen),
            Node::Tuple(nodes) => nodes.iter().any(|node| self.wants_unless(node, seen)),
            Node::Type(place) if !seen.contains(place) => {
                seen.push(*place);
                let variants = &self.types[*place as usize].variants;
                variants.iter().any(|variant| !variant.met || self.wants_fields(&variant.fields, seen))
            }
            _ => false,
        }
    }

    fn wants_fields(&self, fields: &Fields, seen: &mut Vec<u32>) -> bool {
        fields.nodes().into_iter().any(|node| self.wants_unless(node, seen))
    }

    /// Whether to go into something that may be left empty.
    fn goes_into(&self, node: &Node) -> bool {
        self.reentered == 0 && self.wants(node)
    }

    /// The place of a type, which is new or was met before.
    fn place(
        &mut self,
        id: TypeId,
        name: &'static str,
        variants: &'static [&'static str],
        is_enum: bool,
    ) -> Result<u32, Refused> {
        if let Some(place) = self.places.get(&(id, name)) {
            return Ok(*place);
        }
        if self.types.len() >= TYPES {
            return Err(Refused);
        }
        let place = self.types.len() as u32;
        self.types.push(Known { name, variants: variants.iter().map(|name| Variant::new(name)).collect(), is_enum });
        self.places.insert((id, name), place);
        Ok(place)
    }

    /// Goes into a type; `leave` is told what is returned.
    fn enter(&mut self, place: u32) -> Result<usize, Refused> {
        if self.stack.len() >= DEPTH {
            return Err(Refused);
        }
        let again = usize::from(self.stack.contains(&place));
        self.reentered += again;
        self.reentries += again;
        self.stack.push(place);
        Ok(again)
    }

    fn leave(&mut self, again: usize) {
        self.stack.pop();
        self.reentered -= again;
    }

    /// Which variant of an enum to meet now.
    fn choose(&self, place: u32) -> usize {
        let variants = &self.types[place as usize].variants;
        if self.reentered > 0 {
            let level = self.stack.iter().filter(|other| **other == place).count();
            return variants.iter().position(|variant| variant.ends).unwrap_or(level % variants.len());
        }
        let unmet = variants.iter().position(|variant| !variant.met);
        let unfinished = || {
            let wanting =
                variants.iter().enumerate().filter(|(_, variant)| self.wants_fields(&variant.fields, &mut self.stack.clone()));
            wanting.min_by_key(|(_, variant)| variant.tries).map(|(index, _)| index)
        };
        let ending = || variants.iter().position(|variant| variant.ends);
        unmet.or_else(unfinished).or_else(ending).unwrap_or(0)
    }

    /// The fields of a variant as known, to be completed; they are `new` when they are met first.
    fn fields(&mut self, place: u32, variant: usize, new: Fields) -> Fields {
        let variant = &mut self.types[place as usize].variants[variant];
        variant.tries += 1;
        if !std::mem::replace(&mut variant.met, true) {
            self.progress = true;
            variant.fields = new;
        }
        variant.fields.clone()
    }

    /// Keeps what was found out about fields.
    fn learn(&mut self, place: u32, variant: usize, found: Fields, ended: bool) {
        let variant = &mut self.types[place as usize].variants[variant];
        variant.ends |= ended;
        let learnt = match (&mut variant.fields, found) {
            (Fields::Tuple(known), Fields::Tuple(found)) => {
                known.iter_mut().zip(found).fold(false, |any, (known, found)| merge(known, found) | any)
            }
            (Fields::Named(known), Fields::Named(found)) => {
                known.iter_mut().zip(found).fold(false, |any, ((_, known), (_, found))| merge(known, found) | any)
            }
            _ => false,
        };
        self.progress |= learnt;
    }
}

/// Adds what `found` knows to `known`; tells whether that is more than before.
fn merge(known: &mut Node, found: Node) -> bool {
    match (known, found) {
        (_, Node::Opaque) => false,
        (known @ Node::Opaque, found) => {
            *known = found;
            true
        }
        (Node::Option(known), Node::Option(found)) | (Node::List(known), Node::List(found)) => merge(known, *found),
        (Node::Array(known, _), Node::Array(found, _)) => merge(known, *found),
        (Node::Map(key, value), Node::Map(found_key, found_value)) => merge(key, *found_key) | merge(value, *found_value),
        (Node::Tuple(known), Node::Tuple(found)) => {
            known.iter_mut().zip(found).fold(false, |any, (known, found)| merge(known, found) | any)
        }
        _ => false,
    }
}

impl Known {
    fn finish(self) -> NamedType {
        let mut variants = self.variants.into_iter().map(|variant| (variant.name.to_owned(), variant.fields));
        let content = match self.is_enum {
            true => Content::Enum(variants.collect()),
            false => Content::Struct(variants.next().map_or(Fields::Unit, |(_, fields)| fields)),
        };
        NamedType { name: self.name.to_owned(), content }
    }
}

/// The type refused what it was offered, or asked for what only a self-describing format can give.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type cannot be traced")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
