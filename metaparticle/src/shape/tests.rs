//! Shapes of many types: traced, shown, stored, read by, compared and converted.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("encodes")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    bincode::serde::decode_from_slice(bytes, bincode::config::standard()).expect("decodes").0
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Color {
    Red,
    Mixed(u8, u8),
    Named { name: String, of: Option<Box<Color>> },
    Deep(Inner),
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Inner {
    One(u32),
    Two,
    Three { at: (i64, char) },
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Expression {
    Add(Box<Expression>, Box<Expression>),
    Negative(Box<Expression>),
    Number(i64),
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Tree {
    name: String,
    children: Vec<Tree>,
    by_name: BTreeMap<String, Tree>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Unit;

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Cents(i64);

fn shown<T: DeserializeOwned>() -> String {
    shape_of::<T>().to_string()
}

#[test]
fn the_shape_of_a_type_is_found_without_a_value_of_it() {
    assert_eq!(shown::<u64>(), "u64");
    assert_eq!(shown::<Vec<Option<String>>>(), "[Option<text>]");
    assert_eq!(shown::<HashMap<String, (i8, f32)>>(), "{text: (i8, f32)}");
    assert_eq!(shown::<[u16; 3]>(), "[u16; 3]");
    assert_eq!(shown::<(u8,)>(), "(u8)");
    // More than may be nested, one beside the other.
    assert_eq!(shown::<[[Cents; 32]; 3]>(), "[[struct Cents(i64); 32]; 3]");
    assert_eq!(shown::<()>(), "()");
    assert_eq!(shown::<Unit>(), "struct Unit");
    assert_eq!(shown::<Cents>(), "struct Cents(i64)");
    assert_eq!(shown::<std::num::NonZeroU8>(), "u8");
    assert_eq!(shown::<std::time::Duration>(), "struct Duration { secs: u64, nanos: u32 }");
    assert_eq!(
        shown::<Color>(),
        "enum Color { Red, Mixed(u8, u8), Named { name: text, of: Option<Color> }, Deep(enum Inner { One(u32), Two, Three { at: (i64, char) } }) }"
    );
    assert_eq!(shown::<Expression>(), "enum Expression { Add(Expression, Expression), Negative(Expression), Number(i64) }");
    assert_eq!(shown::<Tree>(), "struct Tree { name: text, children: [Tree], by_name: {text: Tree} }");
    assert_eq!(shown::<std::net::IpAddr>(), "enum IpAddr { V4([u8; 4]), V6([u8; 16]) }");
    assert_eq!(shown::<Result<u8, String>>(), "enum Result { Ok(u8), Err(text) }");
}

#[test]
fn what_needs_a_self_describing_format_is_opaque() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Untagged {
        A(u8),
    }
    assert_eq!(shape_of::<Untagged>(), Shape::OPAQUE);
}

/// The shape reads what bincode has written, and writes the same bytes.
fn is_understood<T: Serialize + DeserializeOwned + Debug>(value: &T) {
    let (shape, bytes) = (shape_of::<T>(), bytes(value));
    let dynamic = Value::decode(&shape, &bytes).unwrap_or_else(|error| panic!("{value:?} as {shape}: {error}"));
    assert_eq!(dynamic.encode(&shape).expect("encodes"), bytes, "{value:?} as {dynamic:?}");
    let stored: Shape = read(&self::bytes(&shape));
    assert_eq!(stored, shape);
}

#[test]
fn values_are_read_and_written_by_shape_as_by_type() {
    is_understood(&(u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, u64::MAX, i64::MIN, u128::MAX, i128::MIN));
    is_understood(&(f32::NAN, f64::MIN, 'é', "text".to_owned(), true));
    is_understood(&vec![Color::Red, Color::Mixed(1, 2), Color::Deep(Inner::Three { at: (-5, 'x') })]);
    is_understood(&Color::Named { name: "a".to_owned(), of: Some(Box::new(Color::Deep(Inner::Two))) });
    let number = || Box::new(Expression::Number(7));
    is_understood(&Expression::Add(Box::new(Expression::Negative(number())), number()));
    let leaf = Tree { name: "leaf".to_owned(), children: vec![], by_name: BTreeMap::new() };
    is_understood(&Tree { name: "root".to_owned(), children: vec![leaf.clone()], by_name: [("l".to_owned(), leaf)].into() });
    is_understood(&(Unit, Cents(-3), [[1u8; 3]; 2], ()));
    is_understood(&std::time::SystemTime::UNIX_EPOCH);
}

fn becomes<Old: Serialize + DeserializeOwned, New: Serialize + DeserializeOwned + PartialEq + Debug>(old: Old, new: New) {
    let (from, to) = (shape_of::<Old>(), shape_of::<New>());
    let converted = match fit(&from, &to).unwrap_or_else(|at| panic!("{from} does not fit {to} at {at}")) {
        Fit::Same => bytes(&old),
        Fit::Converted => transcode(&from, &to, &bytes(&old)).expect("converts"),
    };
    assert_eq!(read::<New>(&converted), new);
}

fn does_not_fit<Old: DeserializeOwned, New: DeserializeOwned>(at: &str) {
    assert_eq!(fit(&shape_of::<Old>(), &shape_of::<New>()), Err(at.to_owned()));
}

/// serde lists them beside the names, as if there were more fields and variants.
#[test]
fn aliases_are_not_taken_for_fields_or_variants() {
    mod plain {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) struct Price {
            cents: u64,
            label: String,
            state: State,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) enum State {
            Draft,
            Sent { by: String, at: Option<u64> },
            Paid(u64),
        }
    }
    mod with_aliases {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) struct Price {
            #[serde(alias = "amount", alias = "zents")]
            cents: u64,
            label: String,
            #[serde(alias = "kind")]
            state: State,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) enum State {
            #[serde(alias = "Begun")]
            Draft,
            #[serde(alias = "Zent")]
            Sent {
                #[serde(alias = "author")]
                by: String,
                at: Option<u64>,
            },
            Paid(u64),
        }
    }
    assert_eq!(shape_of_stored::<Vec<with_aliases::Price>>(), shape_of::<Vec<plain::Price>>());
    assert!(!shape_of::<plain::Price>().is_opaque());
}

#[test]
fn numbers_are_widened_without_loss() {
    becomes(200u8, 200u64);
    becomes(200u8, 200i16);
    becomes(-1i8, -1i128);
    becomes(u32::MAX, f64::from(u32::MAX));
    becomes(1.5f32, 1.5f64);
    becomes(vec![(1u8, 2u16)], vec![(1u32, 2u64)]);
    becomes((1u32, 2u32), (1u32, 2u64));
    becomes((1u8, 2u16), [1u32, 2]);
    does_not_fit::<(u32, u32), (u32, u16)>("");
    does_not_fit::<(u32, u32), (u32, u64, u64)>("");
    does_not_fit::<u64, u32>("");
    does_not_fit::<u64, i64>("");
    does_not_fit::<i8, u64>("");
    does_not_fit::<u64, f64>("");
    does_not_fit::<i32, f32>("");
    does_not_fit::<u8, String>("");
}

#[test]
fn a_plain_value_becomes_an_option_and_not_the_other_way_round() {
    becomes("a".to_owned(), Some("a".to_owned()));
    becomes(7u8, Some(7u32));
    becomes(vec![1u8], vec![Some(1u8)]);
    does_not_fit::<Option<u8>, u8>("");
}

#[test]
fn a_new_type_has_the_same_bytes() {
    becomes(5i64, Cents(5));
    becomes(Cents(5), 5i64);
    becomes(5i32, Cents(5));
}

mod later {
    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(super) enum Inner {
        Zero,
        Three { at: (i64, char), more: Option<bool> },
        Two,
        One(u64),
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(super) struct Tree {
        pub(super) color: Option<String>,
        pub(super) children: Vec<Tree>,
        pub(super) by_name: BTreeMap<String, Tree>,
        pub(super) name: String,
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(super) struct Renamed {
        pub(super) title: String,
        pub(super) children: Vec<Renamed>,
        pub(super) by_name: BTreeMap<String, Renamed>,
    }
}

#[test]
fn nested_enums_and_structs_may_grow_and_be_reordered() {
    becomes(Inner::One(5), later::Inner::One(5));
    becomes(Inner::Two, later::Inner::Two);
    becomes(Inner::Three { at: (1, 'a') }, later::Inner::Three { at: (1, 'a'), more: None });
    let old = |name: &str, children| Tree { name: name.to_owned(), children, by_name: BTreeMap::new() };
    let new = |name: &str, children| later::Tree { color: None, name: name.to_owned(), children, by_name: BTreeMap::new() };
    becomes(old("root", vec![old("leaf", vec![])]), new("root", vec![new("leaf", vec![])]));
    does_not_fit::<later::Inner, Inner>("::Zero");
    does_not_fit::<later::Tree, Tree>(".color");
    does_not_fit::<Tree, later::Renamed>(".name");
}

#[test]
fn hostile_bytes_and_shapes_are_errors() {
    let lists = Shape { root: Node::List(Box::new(Node::Unit)), types: vec![] };
    assert!(Value::decode(&lists, &bytes(&(1u64 << 60))).is_err(), "a list of nothings without end");
    let text = Shape { root: Node::Text, types: vec![] };
    assert!(Value::decode(&text, &bytes(&(1u64 << 40))).is_err(), "a text longer than memory");
    assert!(Value::decode(&text, b"\x01ab").is_err(), "a text and something more");
    let endless = Shape {
        root: Node::Type(0),
        types: vec![NamedType { name: "E".to_owned(), content: Content::Struct(Fields::Tuple(vec![Node::Type(0)])) }],
    };
    assert!(Value::decode(&endless, b"abc").is_err());
    assert!(fit(&endless, &text).is_err());
    let deep = [&bytes(&100_000u64)[..], &[9; 100_000]].concat();
    let read: Result<(Node, usize), _> = bincode::serde::decode_from_slice(&deep, bincode::config::standard());
    assert!(read.is_err(), "a shape that is nested too deeply");
    let nested = Shape { root: Node::Type(0), types: shape_of::<Tree>().types };
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..random.usize(0..60)).map(|_| random.u8(..)).collect();
        let _ = Value::decode(&nested, &noise);
        let _ = bincode::serde::decode_from_slice::<Shape, _>(&noise, bincode::config::standard().with_limit::<0x1_0000>());
    }
}

#[test]
fn hostile_shapes_of_nothing_do_not_allocate() {
    let refused = |root: Node, types: Vec<NamedType>, bytes: &[u8]| {
        assert!(Value::decode(&Shape { root, types }, bytes).is_err());
    };
    refused(Node::Array(Box::new(Node::Unit), u32::MAX), Vec::new(), b"");
    refused(Node::List(Box::new(Node::Unit)), Vec::new(), b"\xfd\0\0\0\0\0\0\0\x10");
    // Each is two of the next one: 2^100 times nothing.
    let twice = |next: u32| Content::Struct(Fields::Tuple(vec![Node::Type(next), Node::Type(next)]));
    let mut types: Vec<NamedType> = (1..=100).map(|next| NamedType { name: String::new(), content: twice(next) }).collect();
    types.push(NamedType { name: String::new(), content: Content::Struct(Fields::Unit) });
    refused(Node::Type(0), types, b"");
    let next = |next: u32| Content::Struct(Fields::Tuple(vec![Node::Type(next)]));
    let types = (1..100_000).map(|n| NamedType { name: String::new(), content: next(n) }).collect();
    assert!(
        Shape { root: Node::Type(0), types }.to_string().ends_with(')'),
        "a shape that is nested too deeply is shown in part"
    );
}

#[test]
fn shapes_of_values_without_end_are_known() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Chain(Option<Box<Chain>>);
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Nothing;
    for endless in [
        shape_of::<Tree>(),
        shape_of::<Chain>(),
        shape_of::<Vec<Vec<(u8, Chain)>>>(),
        shape_of::<Vec<()>>(),
        shape_of::<Option<(u8, Vec<(Nothing, [(); 3])>)>>(),
        shape_of::<std::collections::BTreeMap<(), Nothing>>(),
    ] {
        assert!(endless.is_endless(), "{endless}");
    }
    for plain in [
        shape_of::<(Vec<u8>, Vec<Option<()>>, Vec<(u8, ())>, Nothing, [Nothing; 3])>(),
        shape_of::<std::collections::BTreeMap<u8, ()>>(),
        shape_of::<(Vec<String>, (Vec<String>, Vec<Vec<String>>))>(),
    ] {
        assert!(!plain.is_endless(), "{plain}");
    }
    let next = |next: u32| Content::Struct(Fields::Tuple(vec![Node::Type(next), Node::Type(next)]));
    let types = (1..100_000).map(|n| NamedType { name: String::new(), content: next(n) }).collect();
    assert!(Shape { root: Node::Type(0), types }.is_endless(), "a shape that is nested too deeply");
}

#[test]
fn arrays_in_arrays_take_no_memory_before_they_are_read() {
    // Each would need a list of a million parts.
    let array = |inner, _| Node::Array(Box::new(inner), 1 << 20);
    let shape = Shape { root: (0..60).fold(Node::Unit, array), types: Vec::new() };
    assert!(Value::decode(&shape, b"").is_err());
}
