//! Stores with every kind of value and key, and the binary.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use metaparticle::engine::{Answer, CommitId, KeyRange, RecordKey, Request, Seen, Write};
use metaparticle::{Durability, Store, conformance, persistent};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Meters(pub(crate) f64);

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Nothing;

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) enum Form {
    Point,
    Circle(Meters),
    Line(i32, i32),
    Text { content: String, size: u8 },
    Group(Vec<Form>),
    Empty(()),
}

#[persistent(name = "every kind")]
pub(crate) struct EveryKind {
    truth: bool,
    small: (i8, u8, i16, u16, i32, u32),
    large: (i64, u64),
    huge: (i128, u128),
    floats: Vec<f64>,
    singles: Vec<f32>,
    character: char,
    text: String,
    option: Option<u8>,
    nested: Vec<Option<Option<u8>>>,
    unit_option: Vec<Option<()>>,
    wrapped_option: Option<Option<Meters>>,
    nothing: Nothing,
    forms: Vec<Form>,
    by_text: HashMap<String, i64>,
    by_number: BTreeMap<i16, Vec<u8>>,
    by_pair: BTreeMap<(u8, String), Form>,
    array: [u16; 3],
    tuple: (String, bool),
    secret: Secret,
}

/// What cannot be traced: the first field refuses all that it is offered, so that nobody learns of the second.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Secret(Gate, u32);

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(into = "u64", try_from = "u64")]
pub(crate) struct Gate(u64);

impl From<Gate> for u64 {
    fn from(gate: Gate) -> u64 {
        gate.0
    }
}

impl TryFrom<u64> for Gate {
    type Error = &'static str;
    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number >= 1_000 { Ok(Self(number)) } else { Err("it is too small") }
    }
}

pub(crate) fn every_kind(n: u64) -> EveryKind {
    let meters = |n: f64| Form::Circle(Meters(n));
    EveryKind {
        truth: n.is_multiple_of(2),
        small: (i8::MIN, u8::MAX, i16::MIN, u16::MAX, i32::MIN, u32::MAX),
        large: (i64::MIN + n as i64, u64::MAX - n),
        huge: (i128::MIN, u128::MAX),
        floats: vec![
            0.0,
            -0.0,
            1.0,
            0.1,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::MAX,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(0x7ff0_0000_0000_0123),
        ],
        singles: vec![0.1, -0.0, f32::MAX, f32::from_bits(1), f32::NAN, -f32::NAN, f32::INFINITY, f32::from_bits(0x7f80_0123)],
        character: '\u{10ffff}',
        text: format!("\"quoted\"\n\u{1b}[31m é日本 \0 {n}"),
        option: Some(7),
        nested: vec![None, Some(None), Some(Some(3))],
        unit_option: vec![None, Some(())],
        wrapped_option: Some(None),
        nothing: Nothing,
        forms: vec![
            Form::Point,
            meters(-0.0),
            Form::Line(-1, 2),
            Form::Text { content: String::new(), size: 9 },
            Form::Group(vec![Form::Group(vec![]), Form::Point]),
            Form::Empty(()),
        ],
        by_text: (0..20).map(|n| (format!("key {n}"), n)).collect(),
        by_number: [(-5, vec![1, 2]), (5, vec![])].into(),
        by_pair: [((1, "a".to_owned()), Form::Point), ((2, "b".to_owned()), meters(1.5))].into(),
        array: [1, 2, 3],
        tuple: ("t".to_owned(), false),
        secret: Secret(Gate(1_000 + n), 5),
    }
}

#[persistent(default)]
#[derive(Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) owner: String,
}

#[persistent(singleton, default)]
pub(crate) struct Settings {
    theme: String,
}

#[persistent]
pub(crate) struct Page<T> {
    content: T,
}

macro_rules! keyed {
    ($($name:ident $stored:literal $key:ty;)*) => {$(
        #[persistent(name = $stored, key = $key)]
        struct $name {
            n: u8,
        }
    )*};
}
keyed! {
    Signed "signed" i64; Unsigned "unsigned" u64; Huge "huge" u128; HugeSigned "huge signed" i128; Byte "byte" u8;
    Id "id" uuid::Uuid; Line "line" (String, u64); Deep "deep" ((i16, String), u128);
}

/// Objects of every kind of value and key.
pub(crate) fn fill(store: &Store) {
    let filled = store.transaction(|tx| {
        for n in 0..5 {
            tx.insert(format!("number {n}"), every_kind(n))?;
        }
        for key in ["", "a\0b", "ann", "anna", "ben", "-dash", "\u{1b}[2J"] {
            tx.insert(key, Account { balance: key.len() as i64, owner: key.to_owned() })?;
        }
        tx.get_mut::<Settings>(())?.theme = "dark".to_owned();
        tx.insert("home", Page { content: "hello".to_owned() })?;
        tx.insert("home", Page { content: 5u8 })?;
        for key in [i64::MIN, -5, 0, i64::MAX] {
            tx.insert(key, Signed { n: 1 })?;
        }
        for key in [0, u64::MAX] {
            tx.insert(key, Unsigned { n: 1 })?;
        }
        for key in [0, u128::MAX] {
            tx.insert(key, Huge { n: 1 })?;
        }
        for key in [i128::MIN, -1, i128::MAX] {
            tx.insert(key, HugeSigned { n: 1 })?;
        }
        tx.insert(200u8, Byte { n: 1 })?;
        tx.insert(uuid::Uuid::from_u128(77), Id { n: 1 })?;
        for number in 0..3 {
            tx.insert(("a", number), Line { n: 1 })?;
            tx.insert(("ab", number), Line { n: 1 })?;
        }
        tx.insert(((-3i16, "x"), 9u128), Deep { n: 1 })
    });
    filled.expect("fills");
}

/// A folder with a filled store in it.
pub(crate) fn filled() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store").to_str().expect("text").to_owned();
    fill(&Store::open(&path).expect("opens"));
    (folder, path)
}

/// A path next to `path`.
pub(crate) fn beside(path: &str, name: &str) -> String {
    Path::new(path).with_file_name(name).to_str().expect("text").to_owned()
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metaparticle"));
    command.args(arguments).env_remove("METAPARTICLE_STORE").stdin(Stdio::null());
    command
}

/// Runs the binary.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What it printed, after it ended well.
pub(crate) fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What it said on standard error, after it ended with this code.
pub(crate) fn fails(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    error
}

/// All records of a store, as the engine has them.
pub(crate) fn records(path: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let engine = conformance::sled_engine(Path::new(path)).expect("opens");
    let mut rest = KeyRange { start: RecordKey::new([]), end: RecordKey::new([0xff]) };
    let mut records = BTreeMap::new();
    while rest.start < rest.end {
        let page = ready(engine.scan(Seen::NOTHING, &rest, usize::MAX));
        records.extend(page.records.into_iter().map(|(key, record)| (key.to_vec(), record.bytes.to_vec())));
        rest.start = page.range.end;
    }
    records
}

/// Puts records past all checks, as a program that knows nothing of metaparticle might.
pub(crate) fn put(path: &str, records: &[(&[u8], Option<&[u8]>)]) {
    let engine = conformance::sled_engine(Path::new(path)).expect("opens");
    let write = |(key, bytes): &(&[u8], Option<&[u8]>)| Write { key: RecordKey::new(*key), bytes: bytes.map(Into::into) };
    let write: Vec<Write> = records.iter().map(write).collect();
    let durability = Durability::Immediate;
    ready(engine.execute(Request { compare: Seen::NOTHING, read: &[], write: &write, id: CommitId(1), durability }));
}

fn ready<T>(answer: Answer<'_, T>) -> T {
    match answer {
        Answer::Ready(result) => result.expect("answers"),
        Answer::Later(_) | Answer::Committing(_) => panic!("an embedded engine answers at once"),
    }
}
