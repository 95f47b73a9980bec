//! Keys of every type, changes against others, and records that the engine cannot read.

use std::collections::HashSet;
use std::sync::Arc;

use foundationdb_tuple::pack;

use super::*;
use crate::engine::embedded::Embedded;
use crate::engine::{Answer, Page, Stamp};
use crate::key::Key;

fn reads_back<K: Key>(key: K, as_stored: StoredKey) {
    let record_key = RecordKey::new(pack(&("T", key.clone().into_packed())));
    let key_type = KeyType::parse(&K::type_name()).expect("a type of keys");
    assert_eq!(key_type.to_string(), K::type_name());
    assert_eq!(key::stored_key("T", &key_type, &record_key).expect("reads"), as_stored);
    assert_eq!(key::record_key("T", &as_stored), record_key);
    assert_eq!(place(&record_key), Place::Object("T".to_owned()));
}

#[test]
fn keys_of_every_type_are_read_and_written_as_the_program_does() {
    let text = |text: &str| StoredKey::Text(text.to_owned());
    for word in ["", "a", "a\0b", "\0", "ü日\u{10ffff}"] {
        reads_back(word.to_owned(), text(word));
    }
    for n in [u128::MIN, 1, 255, 256, u64::MAX.into(), u128::from(u64::MAX) + 1, u128::MAX] {
        reads_back(n, StoredKey::Unsigned(n));
    }
    for n in [i128::MIN, i64::MIN.into(), -256, -255, -1, 0, 1, i64::MAX.into(), i128::MAX] {
        reads_back(n, StoredKey::Signed(n));
    }
    reads_back(200u8, StoredKey::Unsigned(200));
    reads_back(-128i8, StoredKey::Signed(-128));
    reads_back(u64::MAX, StoredKey::Unsigned(u64::MAX.into()));
    reads_back(7usize, StoredKey::Unsigned(7));
    reads_back(uuid::Uuid::from_u128(9), StoredKey::Uuid(uuid::Uuid::from_u128(9)));
    reads_back(("a".to_owned(), 7u64), StoredKey::Tuple(vec![text("a"), StoredKey::Unsigned(7)]));
    let nested = StoredKey::Tuple(vec![StoredKey::Tuple(vec![StoredKey::Signed(-1), text("")]), StoredKey::Unsigned(u128::MAX)]);
    reads_back(((-1i16, String::new()), u128::MAX), nested);
}

#[test]
fn keys_that_no_program_writes_are_damaged() {
    let damaged = |key_type: &str, bytes: Vec<u8>| {
        let key_type = KeyType::parse(key_type).expect("a type of keys");
        let error = key::stored_key("T", &key_type, &RecordKey::new(bytes)).expect_err("not a key");
        assert!(error.is_corrupt(), "{error}");
    };
    damaged("u8", pack(&("T", 256)));
    damaged("u64", pack(&("T", -1)));
    damaged("text", pack(&("T", 1)));
    damaged("text", pack(&("T",)));
    damaged("text", pack(&("T", "a", "b")));
    damaged("(text, u8)", pack(&("T", ("a",))));
    damaged("none", pack(&("T", "a")));
    for name in ["", "u7", "text ", "(text", "(text,u8)", "()", "uuid)", "u128u", &"(".repeat(1000)] {
        assert_eq!(KeyType::parse(name), None, "{name}");
    }
}

/// An engine that cannot read some of its records.
#[derive(Clone)]
struct Damaged {
    engine: Arc<Embedded>,
    unreadable: HashSet<RecordKey>,
}

impl Engine for Damaged {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        self.engine.execute(request)
    }
    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        let Answer::Ready(page) = self.engine.scan(compare, range, limit) else { panic!("memory answers at once") };
        Answer::Ready(page.and_then(|page| match page.records.iter().any(|(key, _)| self.unreadable.contains(key)) {
            true => Err(Error::new(ErrorKind::Corrupt, "the record is damaged")),
            false => Ok(page),
        }))
    }
    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        self.engine.watch(compare)
    }
    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        self.engine.durable(stamp)
    }
    fn limits(&self) -> Limits {
        self.engine.limits()
    }
}

fn key(number: usize) -> RecordKey {
    key::record_key("T", &StoredKey::Unsigned(number as u128))
}

/// A store of 600 records on such an engine.
fn store(unreadable: &[usize]) -> Inspector {
    let unreadable = unreadable.iter().map(|number| key(*number)).collect();
    let store = Store::with_engine(Damaged { engine: Arc::new(Embedded::in_memory()), unreadable });
    let inspector = Inspector::new(&store);
    let mut loader = inspector.loader();
    for number in 0..600 {
        if loader.is_full_for(&key(number), 1) {
            assert_eq!(loader.write().expect("writes"), None);
        }
        loader.add(key(number), [number as u8].into());
    }
    loader.write().expect("writes");
    assert_eq!(loader.counts, Counts { new: 600, replaced: 0, equal: 0 });
    inspector
}

#[test]
fn records_that_cannot_be_read_are_found_and_those_around_them_are_read() {
    let unreadable = [0, 1, 255, 256, 257, 400, 598, 599];
    let inspector = store(&unreadable);
    let found: Vec<_> = inspector.salvage(Inspector::everything()).map(|found| found.expect("goes on")).collect();
    assert_eq!(found.len(), 600);
    for (number, (found, record)) in found.into_iter().enumerate() {
        assert_eq!(found, key(number));
        assert_eq!(record.is_err(), unreadable.contains(&number), "{number}");
    }
    assert!(inspector.records(Inspector::everything()).any(|record| record.is_err()));
}

#[test]
fn a_change_is_tried_again_when_another_was_faster_and_gives_up_in_the_end() {
    let inspector = store(&[]);
    let add_one = |record: Option<&Record>| Ok(Change::Write(vec![record.map_or(0, |record| record.bytes[0]) + 1]));
    let mut calls = 0;
    let changed = inspector.update(&key(0), |record| {
        calls += 1;
        if calls == 1 {
            inspector.update(&key(0), add_one)?;
        }
        add_one(record)
    });
    assert!(changed.expect("changes"));
    assert_eq!((calls, &*inspector.get(&key(0)).expect("reads").expect("is there").bytes), (2, &[2][..]));

    let always_late = |_: Option<&Record>| {
        inspector
            .update(&key(1), |record| Ok(Change::Write(vec![record.map_or(0, |record| record.bytes[0]).wrapping_add(1)])))?;
        Ok(Change::Write(vec![0]))
    };
    assert!(inspector.update(&key(1), always_late).expect_err("gives up").is_conflict());
}

#[test]
fn nothing_is_replaced_unasked() {
    let inspector = store(&[]);
    let mut loader = inspector.loader();
    loader.add(key(5), [5].into());
    loader.add(key(6), [99].into());
    loader.add(key(5_000), [1].into());
    assert_eq!(loader.write().expect("looks"), Some(key(6)));
    assert_eq!(inspector.get(&key(5_000)).expect("reads"), None);
    loader.replace = true;
    assert_eq!(loader.write().expect("writes"), None);
    assert_eq!(loader.counts, Counts { new: 1, replaced: 1, equal: 1 });
}

#[test]
fn schemas_only_grow() {
    let bytes = |schemas: &[&str]| {
        let field = |name: &&str| crate::schema::StoredField { name: (*name).to_owned(), shape: crate::shape::Shape::OPAQUE };
        let schemas = schemas.iter().map(|name| vec![field(name)]).collect();
        crate::schema::record::SchemaRecord { key_type: "text".to_owned(), schemas }.encode().expect("encodes")
    };
    let inspector = store(&[]);
    assert!(inspector.put_schemas("T", &bytes(&["a"])).expect("new"));
    assert!(inspector.put_schemas("T", &bytes(&["a", "b"])).expect("more"));
    assert!(!inspector.put_schemas("T", &bytes(&["a"])).expect("less"));
    assert_eq!(inspector.put_schemas("T", &bytes(&["b"])).expect_err("others").kind(), ErrorKind::Incompatible);
    assert_eq!(inspector.stored_type("T").expect("reads").expect("is there").schemas().len(), 2);
}

#[test]
fn a_prefix_finds_the_keys_that_begin_so() {
    let text = |text: &str| StoredKey::Text(text.to_owned());
    let range = key::prefix_range("T", &text("ab")).expect("a range");
    let inside = |key: &str| range.contains(&key::record_key("T", &text(key)));
    assert!(["ab", "abc", "ab\0", "ab\u{10ffff}"].into_iter().all(inside));
    assert!(!["a", "ac", "aa\u{10ffff}", "b", ""].into_iter().any(inside));
    let range = key::prefix_range("T", &StoredKey::Tuple(vec![text("a")])).expect("a range");
    let inside =
        |first: &str| range.contains(&key::record_key("T", &StoredKey::Tuple(vec![text(first), StoredKey::Unsigned(1)])));
    assert!(inside("a") && !inside("ab") && !inside("") && !inside("a\0"));
}
