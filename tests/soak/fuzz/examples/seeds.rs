//! Writes the inputs that the targets begin with, from real stores: `cargo run --example seeds` in this folder.

use std::path::Path;

// What the flags have put into everything is in there, where it is built as the targets are.
use libfuzzer_sys as _;

use metaparticle::engine::RecordKey;
use metaparticle::inspect::Inspector;
use metaparticle::{Persistent, SchemaFile, Store};
use metaparticle_fuzz::sample::{first, now};

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), bytes).expect("it is written");
}

/// As `part` takes them apart.
fn parts(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u16).to_be_bytes()[..], part].concat()).collect()
}

fn old() -> first::Sample {
    first::Sample {
        count: 300,
        title: "a title".to_owned(),
        state: first::State::Done(70_000),
        point: first::Point { x: -1, y: 300 },
        ratio: 0.5,
        numbers: vec![1, 2, 255],
        gone: 9,
        stamp: 1_700_000_000,
    }
}

fn new() -> now::Sample {
    let leaf = |label: &str| now::Tree { label: label.to_owned(), children: Vec::new() };
    now::Sample {
        count: 1 << 40,
        name: Some("a name".to_owned()),
        state: now::State::Undone(Box::new(now::State::Waiting { since: 5, why: Some("why".to_owned()) })),
        point: now::Point { y: 1, z: Some(-2), x: 3 },
        ratio: f64::MIN,
        numbers: vec![0, -1, 100_000],
        stamp: now::Stamp(-4),
        map: [("key".to_owned(), vec![(1, 2), (3, i128::MAX)])].into(),
        set: ['a', 'ß', '\u{10ffff}'].into(),
        tree: now::Tree { label: "root".to_owned(), children: vec![leaf("one"), leaf("two")] },
        chain: now::Chain(Some(Box::new(now::Chain(Some(Box::default()))))),
        nothings: vec![(); 3],
        array: [None, Some(true), Some(false)],
    }
}

/// The store's schema record, record key and record of one object, and the line that the tool would export.
fn stored<T: Persistent<Key = (String, i32)>>(object: impl Fn() -> T) -> (Vec<u8>, RecordKey, Vec<u8>) {
    let store = Store::open("memory:").expect("opens");
    store.transaction(|tx| tx.insert(("a key", -7), object())).expect("stores");
    let inspector = Inspector::new(&store);
    let found = inspector.stored_type("sample").expect("reads").expect("is there");
    let (key, record) = inspector.records(found.range()).next().expect("one").expect("reads");
    (found.bytes().to_vec(), key, record.bytes.to_vec())
}

fn records() {
    for (name, number, (schemas, key, mut record)) in [("first", 0, stored(old)), ("now", 1, stored(new))] {
        let line = |fields: &[(&str, &[u8])]| {
            let fields: Vec<String> =
                fields.iter().map(|(name, bytes)| format!("\"{name}\": \"{}\"", hex::encode(bytes))).collect();
            fields.join(", ")
        };
        let of_type = format!("{{\"type\": \"sample\", {}}}", line(&[("schema_record", &schemas)]));
        let of_record = format!("{{{}}}", line(&[("record_key", &key), ("record", &record)]));
        seed("export", name, format!("{of_type}\n{of_record}\n").as_bytes());
        seed("schema", name, &[&*parts(&[&record]), &schemas].concat());
        seed("key", name, &[&*parts(&[b"(text, i32)"]), &key].concat());
        record[1] = number;
        seed("record", name, &record);
    }
    let fields =
        r#"{"count":3,"title":"a","state":{"Done":1},"point":{"x":1,"y":2},"ratio":"NaN","numbers":[1],"gone":0,"stamp":1}"#;
    let schemas = hex::encode(stored(old).0);
    let object = format!(r#"{{"type":"sample","key":["a",1],"schema":0,"fields":{fields}}}"#);
    seed("export", "object", format!("{{\"type\":\"sample\",\"schema_record\":\"{schemas}\"}}\n{object}\n").as_bytes());
    for (name, key) in [("text", &b"\x02t\0\x02a\0\xffb\0"[..]), ("number", b"\x02t\0\x13\x80"), ("singleton", b"\x02t\0")] {
        seed("key", name, &[&*parts(&[b"u64"]), key].concat());
    }
}

fn schema_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("metaparticle.schema");
    // It is written by those who ask for it.
    assert_eq!(std::env::var("METAPARTICLE_SCHEMA").as_deref(), Ok("write"), "run it with METAPARTICLE_SCHEMA=write");
    SchemaFile::new(&path).with::<first::Sample>().verify().expect("writes");
    seed("schema_file", "first", &std::fs::read(&path).expect("reads"));
    SchemaFile::new(&path).with::<now::Sample>().verify().expect("writes");
    seed("schema_file", "both", &std::fs::read(&path).expect("reads"));
}

/// A store in a folder: what its mark, its map and its journal have.
fn folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    // One version of the program after the other.
    let open = || Store::open(path.to_str().expect("text")).expect("opens");
    open().transaction(|tx| tx.insert(("a", 1), old())).expect("stores");
    open().transaction(|tx| tx.insert(("b", 2), new())).expect("stores");
    open().transaction(|tx| tx.remove::<first::Sample>(("a", 1))).expect("removes");
    let mark = std::fs::read(path.join("metaparticle")).expect("reads");
    let slots = [&mark[..64], mark.get(512..576).unwrap_or_default()];
    let db = sled::open(path.join("sled")).expect("opens");
    let entries: Vec<_> = db.iter().map(|entry| entry.expect("reads")).collect();
    let entries = entries.iter().flat_map(|(key, value)| [&**key, &**value]);
    let all: Vec<&[u8]> = slots.into_iter().chain(entries).collect();
    for sealed in [0, 1] {
        seed("store", ["as-it-is", "sealed"][usize::from(sealed)], &[&[sealed], &*parts(&all)].concat());
    }
    let journal = std::fs::read(path.join("journal/0000000000000001")).expect("reads");
    let entries = &journal[64..64 + 900];
    for how in [1, 3] {
        seed("journal", ["", "first", "", "last"][usize::from(how)], &[&[how, 0], &*parts(&[entries, b"", b""])].concat());
    }
}

fn servers() {
    let version = b"0123456789abcdef";
    let read =
        [&b"*5\r\n$3\r\nnew\r\n*0\r\n*0\r\n*1\r\n$20\r\n"[..], version, b"body\r\n*2\r\n$1\r\nk\r\n$16\r\n", version, b"\r\n"];
    seed("redis", "answer", &[&*parts(&[b""]), &read.concat()].concat());
    seed("redis", "refused", &[&*parts(&[b""]), b"*1\r\n$7\r\nrefused\r\n"].concat());
    seed("redis", "message", &[&*parts(&[b""]), b"\0\x03abc\0\x01d"].concat());
    seed("postgres", "message", b"61,6263");
    seed(
        "etcd",
        "answer",
        &parts(&[b"", b"\x0a\x02\x18\x05\x10\x01", b"3.5.4", b"\x0a\x02\x18\x05\x12\x0a\x0a\x05p/r/\x07\x18\x02\x2a\x01v"]),
    );
    for (name, url) in [("mysql", "me:se@host/d?table=t&connections=3"), ("etcd", "a:b@one,two:3,[::1]:4/?prefix=p")] {
        seed("url", name, url.as_bytes());
    }
}

fn main() {
    records();
    schema_file();
    folder();
    servers();
}
