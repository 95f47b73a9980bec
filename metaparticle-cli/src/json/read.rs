//! Values from JSON, by their shape; what does not fit is told with its place.

use metaparticle::shape::{Content, Fields, Node, Shape, Value};
use serde_json::Value as Json;

use super::may_be_null;

/// How much of a piece of JSON is shown in messages.
const SHOWN: usize = 60;
/// How deep a value may be nested.
const DEPTH: usize = 128;

/// A place in a shape, and where that is in the JSON.
#[derive(Clone)]
struct At<'a> {
    shape: &'a Shape,
    node: &'a Node,
    path: String,
    depth: usize,
}

/// The value that the JSON says.
///
/// # Errors
/// What was expected, and where.
pub(crate) fn from_json(shape: &Shape, json: &Json) -> Result<Value, String> {
    At { shape, node: shape.root(), path: String::new(), depth: 0 }.read(json)
}

impl<'a> At<'a> {
    fn inner(&self, node: &'a Node, step: impl FnOnce() -> String) -> At<'a> {
        // Paths are for messages; nobody needs those of a deep one in full.
        let path = if self.path.len() < SHOWN { format!("{}{}", self.path, step()) } else { self.path.clone() };
        At { node, path, depth: self.depth + 1, ..*self }
    }

    fn wrong<T>(&self, expected: &str, json: &Json) -> Result<T, String> {
        let mut found = json.to_string();
        if let Some((at, _)) = found.char_indices().nth(SHOWN) {
            found.truncate(at);
            found.push('…');
        }
        let place = if self.path.is_empty() { String::new() } else { format!("at `{}`: ", self.path) };
        Err(format!("{place}expected {expected}, and not {found}"))
    }

    fn read(&self, json: &Json) -> Result<Value, String> {
        if self.depth > DEPTH {
            return self.wrong("a value that is nested less deeply", &Json::Null);
        }
        match (self.node, json) {
            (Node::Unit, Json::Null) => Ok(Value::Unit),
            (Node::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (Node::Signed(bits), json) => self.signed(*bits, json),
            (Node::Unsigned(bits), json) => self.unsigned(*bits, json),
            (Node::Float(bits), json) => self.float(*bits, json),
            (Node::Char, Json::String(text)) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(char), None) => Ok(Value::Char(char)),
                    _ => self.wrong("one character", json),
                }
            }
            (Node::Text, Json::String(text)) => Ok(Value::Text(text.clone())),
            (Node::Bytes, Json::String(text)) => match hex::decode(text) {
                Ok(bytes) => Ok(Value::Bytes(bytes)),
                Err(_) => self.wrong("bytes as hexadecimal digits", json),
            },
            (Node::Option(_), Json::Null) => Ok(Value::Option(None)),
            (Node::Option(inner), json) => self.some(inner, json),
            (Node::List(inner), Json::Array(values)) => self.all(inner, values).map(Value::List),
            (Node::Array(inner, count), Json::Array(values)) if values.len() == *count as usize => {
                self.all(inner, values).map(Value::Tuple)
            }
            (Node::Map(key, value), json) => self.map(key, value, json),
            (Node::Tuple(nodes), json) => self.tuple(nodes, json).map(Value::Tuple),
            (Node::Type(place), json) => self.named(*place, json),
            (Node::Opaque, _) => Err("only the program knows what its bytes mean".to_owned()),
            (node, json) => self.wrong(&expected(node), json),
        }
    }

    fn signed(&self, bits: u8, json: &Json) -> Result<Value, String> {
        let number = match json {
            Json::Number(number) => number.to_string().parse::<i128>().ok(),
            _ => None,
        };
        let shift = 128u32.saturating_sub(bits.into());
        match number.filter(|number| shift < 128 && (number << shift) >> shift == *number) {
            Some(number) => Ok(Value::Signed(number)),
            None => self.wrong(&expected(self.node), json),
        }
    }

    fn unsigned(&self, bits: u8, json: &Json) -> Result<Value, String> {
        let number = match json {
            Json::Number(number) => number.to_string().parse::<u128>().ok(),
            _ => None,
        };
        let shift = 128u32.saturating_sub(bits.into());
        match number.filter(|number| shift < 128 && (number << shift) >> shift == *number) {
            Some(number) => Ok(Value::Unsigned(number)),
            None => self.wrong(&expected(self.node), json),
        }
    }

    fn float(&self, bits: u8, json: &Json) -> Result<Value, String> {
        let text = match json {
            Json::Number(number) => number.to_string(),
            Json::String(text) => text.clone(),
            _ => return self.wrong(&expected(self.node), json),
        };
        let is_number = json.is_number();
        let payload = text.strip_prefix("NaN(").and_then(|rest| u64::from_str_radix(rest.strip_suffix(')')?, 16).ok());
        let special = ["NaN", "inf", "-inf", "-0.0"].contains(&text.as_str());
        let value = match (payload, bits) {
            (Some(payload), 32) => u32::try_from(payload).ok().map(f32::from_bits).filter(|n| n.is_nan()).map(Value::F32),
            (Some(payload), _) => Some(f64::from_bits(payload)).filter(|n| n.is_nan()).map(Value::F64),
            (None, _) if !is_number && !special => None,
            (None, 32) => text.parse::<f32>().ok().filter(|n| n.is_finite() || special).map(Value::F32),
            (None, _) => text.parse::<f64>().ok().filter(|n| n.is_finite() || special).map(Value::F64),
        };
        value.map_or_else(|| self.wrong(&expected(self.node), json), Ok)
    }

    fn some(&self, inner: &'a Node, json: &Json) -> Result<Value, String> {
        let json = match json {
            json if !may_be_null(self.shape, inner, 0) => json,
            Json::Object(object) if object.len() == 1 && object.contains_key("some") => &object["some"],
            json => return self.wrong("null or {\"some\": …}", json),
        };
        let value = self.inner(inner, String::new).read(json)?;
        Ok(Value::Option(Some(Box::new(value))))
    }

    fn all(&self, node: &'a Node, values: &[Json]) -> Result<Vec<Value>, String> {
        let element = |(index, json)| self.inner(node, || format!("[{index}]")).read(json);
        values.iter().enumerate().map(element).collect()
    }

    fn tuple(&self, nodes: &'a [Node], json: &Json) -> Result<Vec<Value>, String> {
        let Some(values) = json.as_array().filter(|values| values.len() == nodes.len()) else {
            return self.wrong(&format!("an array of {}", nodes.len()), json);
        };
        let element = |(index, (node, json))| self.inner(node, || format!("[{index}]")).read(json);
        nodes.iter().zip(values).enumerate().map(element).collect()
    }

    fn map(&self, key: &'a Node, value: &'a Node, json: &Json) -> Result<Value, String> {
        let entries: Result<Vec<_>, String> = match (key, json) {
            (Node::Text, Json::Object(object)) => {
                let entry = |(name, json): (&String, &Json)| {
                    Ok((Value::Text(name.clone()), self.inner(value, || format!(".{name}")).read(json)?))
                };
                object.iter().map(entry).collect()
            }
            (Node::Text, _) => return self.wrong("an object", json),
            (_, Json::Array(pairs)) => {
                let entry = |(index, pair): (usize, &Json)| match pair.as_array().map(Vec::as_slice) {
                    Some([first, second]) => Ok((
                        self.inner(key, || format!("[{index}][0]")).read(first)?,
                        self.inner(value, || format!("[{index}][1]")).read(second)?,
                    )),
                    _ => self.wrong("a pair of a key and a value", pair),
                };
                pairs.iter().enumerate().map(entry).collect()
            }
            _ => return self.wrong("an array of pairs", json),
        };
        entries.map(Value::Map)
    }

    fn named(&self, place: u32, json: &Json) -> Result<Value, String> {
        match self.shape.named(place).map(|named| (&named.name, &named.content)) {
            None => Err("the shape is damaged".to_owned()),
            Some((name, Content::Struct(fields))) => self.fields(name, fields, json).map(Value::Tuple),
            Some((name, Content::Enum(variants))) => {
                let (variant, inner) = match json {
                    Json::String(variant) => (variant, &Json::Null),
                    Json::Object(object) if object.len() == 1 => match object.iter().next() {
                        Some(variant) => variant,
                        None => return self.wrong("a variant", json),
                    },
                    _ => return self.wrong(&format!("a variant of {name}"), json),
                };
                let Some(number) = variants.iter().position(|(known, _)| known == variant) else {
                    let known: Vec<&str> = variants.iter().map(|(known, _)| known.as_str()).collect();
                    return self.wrong(&format!("a variant of {name}: {}", known.join(", ")), json);
                };
                let values = self.fields(variant, &variants[number].1, inner)?;
                Ok(Value::Variant(number as u32, values))
            }
        }
    }

    fn fields(&self, name: &str, fields: &'a Fields, json: &Json) -> Result<Vec<Value>, String> {
        match fields {
            Fields::Unit if json.is_null() => Ok(Vec::new()),
            Fields::Unit => self.wrong(&format!("{name}, which has no fields"), json),
            Fields::Tuple(nodes) if nodes.len() == 1 => Ok(vec![self.inner(&nodes[0], String::new).read(json)?]),
            Fields::Tuple(nodes) => self.tuple(nodes, json),
            Fields::Named(named) => {
                let Some(object) = json.as_object() else { return self.wrong(&format!("an object, {name}"), json) };
                if let Some(unknown) = object.keys().find(|key| !named.iter().any(|(known, _)| known == *key)) {
                    return self.wrong(&format!("{name}, which has no `{unknown}`"), json);
                }
                let field = |(field, node): &'a (String, Node)| match object.get(field) {
                    Some(json) => self.inner(node, || format!(".{field}")).read(json),
                    None => self.wrong(&format!("{name} with its `{field}`"), json),
                };
                named.iter().map(field).collect()
            }
        }
    }
}

/// What a place of this shape takes.
fn expected(node: &Node) -> String {
    match node {
        Node::Unit => "null".to_owned(),
        Node::Bool => "true or false".to_owned(),
        Node::Signed(bits) => format!("an integer, i{bits}"),
        Node::Unsigned(bits) => format!("an integer, u{bits}"),
        Node::Float(bits) => format!("a number, f{bits}"),
        Node::Char => "one character".to_owned(),
        Node::Text => "text".to_owned(),
        Node::Bytes => "bytes as hexadecimal digits".to_owned(),
        Node::Array(_, count) => format!("an array of {count}"),
        _ => "an array".to_owned(),
    }
}
