//! The stored form: a store that was written once and is read for ever, and the bytes that docs/design.md describes.
//!
//! `WRITE_GOLDEN=1 cargo test -p metaparticle-tests --test stored_form` writes the golden store of the present format, once, when
//! a format is released. Those that are there are never written again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metaparticle::engine::{Answer, CommitId, Page, RecordKey, Request, Seen};
use metaparticle::{Durability, ErrorKind, Result, Store, conformance, persistent};
use metaparticle_tests::{copy_folder, folder};

#[persistent(default)]
#[derive(Debug, PartialEq)]
struct Account {
    balance: i64,
    owner: String,
    history: Vec<(u32, i64)>,
    limits: BTreeMap<String, u64>,
    closed: Option<bool>,
}

#[persistent(key = (String, u64), name = "line")]
#[derive(Debug, PartialEq)]
struct Line {
    text: String,
}

#[persistent(default, singleton)]
#[derive(Debug, PartialEq)]
struct Settings {
    theme: String,
}

fn account() -> Account {
    Account {
        balance: -300,
        owner: "Ann".to_owned(),
        history: vec![(1, 5), (2, -305)],
        limits: [("day".to_owned(), 1000)].into(),
        closed: Some(false),
    }
}

fn long_text() -> String {
    (0..10_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect()
}

fn write(store: &Store) -> Result<()> {
    store.transaction(|tx| {
        tx.insert("ann", account())?;
        tx.insert(("home", 7), Line { text: "hello".to_owned() })?;
        tx.insert(("home", 300), Line { text: long_text() })?;
        tx.insert((), Settings { theme: "dark".to_owned() })
    })
}

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format)
}

/// A copy of a golden store, because opening one writes to it.
fn golden_copy(format: &str) -> tempfile::TempDir {
    let folder = folder();
    if std::env::var_os("WRITE_GOLDEN").is_some() && !golden(format).exists() {
        let path = folder.path().join("new");
        write(&Store::open(path.to_str().expect("text")).expect("opens")).expect("writes");
        copy_folder(&path, &golden(format));
    }
    copy_folder(&golden(format), &folder.path().join("store"));
    folder
}

#[test]
fn the_golden_store_of_format_1_is_read() {
    let folder = golden_copy("format-1");
    let store = Store::open(folder.path().join("store").to_str().expect("text")).expect("opens");
    store
        .transaction(|tx| {
            assert_eq!(*tx.get::<Account>("ann")?, account());
            assert_eq!(tx.get::<Line>(("home", 7))?.text, "hello");
            assert_eq!(tx.get::<Line>(("home", 300))?.text, long_text());
            assert_eq!(tx.get::<Settings>(())?.theme, "dark");
            assert_eq!(tx.keys::<Line>(..).collect::<Result<Vec<_>>>()?, [("home".to_owned(), 7), ("home".to_owned(), 300)]);
            metaparticle::Ok(())
        })
        .expect("reads");
}

/// All records of a store, as the engine has them.
fn records(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let engine = conformance::sled_engine(path).expect("opens");
    let range = metaparticle::engine::KeyRange { start: RecordKey::new([]), end: RecordKey::new([0xff]) };
    let page: Page = ready(engine.scan(Seen::NOTHING, &range, 100));
    page.records.into_iter().map(|(key, record)| (key.to_vec(), record.bytes.to_vec())).collect()
}

fn ready<T>(answer: Answer<'_, T>) -> T {
    match answer {
        Answer::Ready(result) => result.expect("answers"),
        Answer::Later(_) | Answer::Committing(_) => panic!("an embedded engine answers reads at once"),
    }
}

#[test]
fn the_same_objects_are_written_as_the_same_bytes_as_ever() {
    let (golden, new) = (golden_copy("format-1"), folder());
    write(&Store::open(new.path().join("store").to_str().expect("text")).expect("opens")).expect("writes");
    let (new, golden) = (records(&new.path().join("store")), records(&golden.path().join("store")));
    assert!(new.keys().eq(golden.keys()));
    for (key, bytes) in golden {
        assert!(new[&key] == bytes, "the record {} has other bytes", key.escape_ascii());
    }
}

#[test]
fn records_and_keys_have_the_documented_bytes() {
    let folder = golden_copy("format-1");
    let records = records(&folder.path().join("store"));
    // The key: the tuple ("Settings",), that is text, its bytes, and the end of text.
    let settings = &records[&b"\x02Settings\0"[..]];
    // Format 1, schema 0 in four bytes, one field in two, its end at 5 in four; text of length 4.
    assert_eq!(settings, b"\x01\0\0\0\0\x01\0\x05\0\0\0\x04dark");
    // The key: text, and a nested tuple (0x05 … 0x00) of text and an integer of one byte (0x15).
    let line = &records[&b"\x02line\0\x05\x02home\0\x15\x07\0"[..]];
    assert_eq!(line, b"\x01\0\0\0\0\x01\0\x06\0\0\0\x05hello");
    // The schemas of a type: format 1, the key's type, and one schema of one field: its name, its shape in one step (7 is text),
    // and no structs and enums.
    let schema = &records[&b"\x01schema\0\x02line\0"[..]];
    assert_eq!(schema, b"\x01\x0b(text, u64)\x01\x01\x04text\x01\x07\0");
    // Fields are found by their ends: -300 is a zigzag varint of three bytes.
    let account = &records[&b"\x02Account\0\x02ann\0"[..]];
    assert_eq!(account[..7], *b"\x01\0\0\0\0\x05\0");
    let ends: Vec<u32> = account[7..27].chunks(4).map(|end| u32::from_le_bytes(end.try_into().expect("four"))).collect();
    assert_eq!(ends, [3, 7, 14, 22, 24]);
    assert_eq!(account[27..], *b"\xfb\x57\x02\x03Ann\x02\x01\x0a\x02\xfb\x61\x02\x01\x03day\xfb\xe8\x03\x01\0");
}

/// Puts bytes in the place of Ann's account, as a program that knows nothing of metaparticle might.
fn with_record(bytes: &[u8]) -> (tempfile::TempDir, Store) {
    let folder = golden_copy("format-1");
    let path = folder.path().join("store");
    {
        let engine = conformance::sled_engine(&path).expect("opens");
        let key = RecordKey::new(*b"\x02Account\0\x02ann\0");
        let write = [metaparticle::engine::Write { key, bytes: Some(bytes.into()) }];
        let durability = Durability::Immediate;
        ready(engine.execute(Request { compare: Seen::NOTHING, read: &[], write: &write, id: CommitId(1), durability }));
    }
    let store = Store::open(path.to_str().expect("text")).expect("opens");
    (folder, store)
}

/// Tries to read and to change what cannot be read; nothing may be overwritten.
fn refused(bytes: &[u8]) -> metaparticle::Error {
    let (folder, store) = with_record(bytes);
    let change = |tx: &metaparticle::Tx| {
        tx.get_mut::<Account>("ann")?.balance = 1;
        metaparticle::Ok(())
    };
    let error = store.transaction(change).expect_err("it cannot be read");
    assert!(error.to_string().contains("Account \"ann\""), "{error}");
    drop(store);
    let kept = records(&folder.path().join("store"));
    assert_eq!(kept[&b"\x02Account\0\x02ann\0"[..]], bytes, "what cannot be read was overwritten");
    error
}

#[test]
fn a_record_that_is_cut_or_damaged_is_refused_and_kept() {
    let folder = golden_copy("format-1");
    let whole = records(&folder.path().join("store"))[&b"\x02Account\0\x02ann\0"[..]].clone();
    for length in [0, 1, 6, 7, 20, whole.len() - 1] {
        assert!(refused(&whole[..length]).is_corrupt(), "cut to {length}");
    }
    for hostile in [&b"another program's data"[..], b"\x01\x09\0\0\0\x01\0\x01\0\0\0\x01", b"\x01\0\0\0\0\xff\xff", &[1; 40]] {
        let kind = refused(hostile).kind();
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Incompatible), "{kind:?}");
    }
}

#[test]
fn a_record_of_a_newer_format_is_refused_and_kept() {
    let error = refused(b"\x02whatever comes then");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn a_hostile_length_in_a_field_is_refused_without_allocating() {
    // Five fields; the second, a text, says that it is 2^60 bytes long.
    let mut bytes = b"\x01\0\0\0\0\x05\0\x01\0\0\0\x0a\0\0\0\x0b\0\0\0\x0c\0\0\0\x0d\0\0\0".to_vec();
    bytes.extend(b"\x02\xfd\0\0\0\0\0\0\0\x10\0\0\0");
    let error = refused(&bytes);
    assert!(error.to_string().contains("`owner`"), "{error}");
}

#[test]
fn a_flipped_bit_on_disk_is_an_error_or_has_no_effect() {
    let folder = golden_copy("format-1");
    let original = fs::read(folder.path().join("store/sled/db")).expect("reads");
    let mut random = fastrand::Rng::with_seed(5);
    let (mut refused, mut right) = (0, 0);
    for _ in 0..60 {
        let at = loop {
            let at = random.usize(..original.len());
            // Most of the file is empty; that is not where damage matters.
            if original[at] != 0 {
                break at;
            }
        };
        let target = tempfile::tempdir().expect("a folder");
        let path = target.path().join("store");
        copy_folder(&folder.path().join("store"), &path);
        let mut bytes = original.clone();
        bytes[at] ^= 1 << random.u32(..8);
        fs::write(path.join("sled/db"), bytes).expect("writes");
        let read = Store::open(path.to_str().expect("text")).and_then(|store| {
            store.transaction(|tx| {
                assert_eq!(*tx.get::<Account>("ann")?, account(), "a wrong value");
                assert_eq!(tx.get::<Line>(("home", 300))?.text, long_text(), "a wrong value");
                metaparticle::Ok(())
            })
        });
        match read {
            Ok(()) => right += 1,
            Err(error) => {
                assert!(!error.is_not_found(), "an object has vanished: {error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "no flipped bit was noticed, {right} had no effect");
}
