//! Values in JSON, exact both ways: the field's shape says what each piece of JSON means.
//!
//! | shape | JSON |
//! |---|---|
//! | integers of any width | a number, with all of its digits |
//! | floating-point numbers | a number; `"NaN"`, `"inf"`, `"-inf"`, `"-0.0"` as text, and another NaN with its bits: `"NaN(7ff8000000000001)"` |
//! | bytes | text, two hexadecimal digits each |
//! | an option | null or the value; `{"some": …}` where the value itself may be null |
//! | a map | an object if its keys are text, otherwise an array of pairs |
//! | tuples, arrays, lists | an array |
//! | structs and enums | as serde writes them: objects by field name, `"Variant"`, `{"Variant": …}` |

mod read;

use metaparticle::shape::{Content, Fields, Node, Shape, Value};
use serde_json::{Map, Number, Value as Json};

pub(crate) use self::read::from_json;

/// How deep it is looked for something that may be null.
const DEPTH: usize = 64;

/// An integer with all of its digits.
pub(crate) fn signed(number: i128) -> Json {
    Number::from_i128(number).map_or(Json::Null, Json::Number)
}

/// An integer with all of its digits.
pub(crate) fn unsigned(number: u128) -> Json {
    Number::from_u128(number).map_or(Json::Null, Json::Number)
}

/// The value in JSON; `None` if it is not of this shape.
pub(crate) fn to_json(shape: &Shape, value: &Value) -> Option<Json> {
    write(shape, shape.root(), value)
}

fn write(shape: &Shape, node: &Node, value: &Value) -> Option<Json> {
    let array =
        |node: &Node, values: &[Value]| -> Option<Vec<Json>> { values.iter().map(|value| write(shape, node, value)).collect() };
    Some(match (node, value) {
        (Node::Unit, Value::Unit) => Json::Null,
        (_, Value::Bool(value)) => Json::Bool(*value),
        (_, Value::Signed(number)) => signed(*number),
        (_, Value::Unsigned(number)) => unsigned(*number),
        (_, Value::F32(number)) => special(f64::from(*number), u64::from(number.to_bits()), f32::NAN.to_bits().into())
            .unwrap_or_else(|| Json::from(*number)),
        (_, Value::F64(number)) => special(*number, number.to_bits(), f64::NAN.to_bits()).unwrap_or_else(|| Json::from(*number)),
        (_, Value::Char(value)) => Json::from(value.to_string()),
        (_, Value::Text(text)) => Json::from(text.as_str()),
        (_, Value::Bytes(bytes)) => Json::from(hex::encode(bytes)),
        (_, Value::Option(None)) => Json::Null,
        (Node::Option(inner), Value::Option(Some(value))) if may_be_null(shape, inner, 0) => {
            Json::Object(Map::from_iter([("some".to_owned(), write(shape, inner, value)?)]))
        }
        (Node::Option(inner), Value::Option(Some(value))) => write(shape, inner, value)?,
        (Node::List(inner), Value::List(values)) | (Node::Array(inner, _), Value::Tuple(values)) => {
            Json::Array(array(inner, values)?)
        }
        (Node::Map(key, node), Value::Map(entries)) => map(shape, key, node, entries)?,
        (Node::Tuple(nodes), Value::Tuple(values)) => tuple(shape, nodes, values)?,
        (Node::Type(place), value) => match (&shape.named(*place)?.content, value) {
            (Content::Struct(shapes), Value::Tuple(values)) => fields(shape, shapes, values)?,
            (Content::Enum(variants), Value::Variant(number, values)) => match variants.get(*number as usize)? {
                (name, Fields::Unit) => Json::from(name.as_str()),
                (name, shapes) => Json::Object(Map::from_iter([(name.clone(), fields(shape, shapes, values)?)])),
            },
            _ => return None,
        },
        _ => return None,
    })
}

/// A number that JSON does not have, or that other programs would lose.
fn special(number: f64, bits: u64, nan: u64) -> Option<Json> {
    let text = match number {
        _ if number.is_nan() && bits == nan => "NaN".to_owned(),
        _ if number.is_nan() => format!("NaN({bits:x})"),
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        _ if number == 0.0 && number.is_sign_negative() => "-0.0".to_owned(),
        _ => return None,
    };
    Some(Json::from(text))
}

fn map(shape: &Shape, key_node: &Node, node: &Node, entries: &[(Value, Value)]) -> Option<Json> {
    if *key_node == Node::Text {
        let entry = |(key, value): &(Value, Value)| match key {
            Value::Text(key) => Some((key.clone(), write(shape, node, value)?)),
            _ => None,
        };
        return entries.iter().map(entry).collect::<Option<Map<_, _>>>().map(Json::Object);
    }
    let pair = |(key, value): &(Value, Value)| Some(Json::Array(vec![write(shape, key_node, key)?, write(shape, node, value)?]));
    entries.iter().map(pair).collect::<Option<_>>().map(Json::Array)
}

fn tuple(shape: &Shape, nodes: &[Node], values: &[Value]) -> Option<Json> {
    nodes.iter().zip(values).map(|(node, value)| write(shape, node, value)).collect::<Option<_>>().map(Json::Array)
}

fn fields(shape: &Shape, fields: &Fields, values: &[Value]) -> Option<Json> {
    match fields {
        Fields::Unit => Some(Json::Null),
        Fields::Tuple(nodes) => match (nodes.as_slice(), values) {
            ([node], [value]) => write(shape, node, value),
            _ => tuple(shape, nodes, values),
        },
        Fields::Named(named) => {
            let field = |((name, node), value): (&(String, Node), &Value)| Some((name.clone(), write(shape, node, value)?));
            named.iter().zip(values).map(field).collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}

/// Whether a value of this shape may be null in JSON.
fn may_be_null(shape: &Shape, node: &Node, depth: usize) -> bool {
    match node {
        Node::Unit | Node::Option(_) => true,
        Node::Type(place) => match shape.named(*place).map(|named| &named.content) {
            Some(Content::Struct(Fields::Unit)) => true,
            Some(Content::Struct(Fields::Tuple(nodes))) if nodes.len() == 1 => {
                depth > DEPTH || may_be_null(shape, &nodes[0], depth + 1)
            }
            _ => false,
        },
        _ => false,
    }
}
