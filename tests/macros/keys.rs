//! Keys of every type, and what may be passed for one.

// What callers pass although they could pass less, and ranges with nothing in them.
#![allow(clippy::needless_borrows_for_generic_args, clippy::reversed_empty_ranges)]

use std::borrow::Cow;
use std::sync::Arc;

use metaparticle::{Result, Store, Tx, persistent, transactional};
use uuid::Uuid;

#[persistent(default)]
struct ByText {
    n: u64,
}
#[persistent(default, key = i64)]
struct ByNumber {
    n: u64,
}
#[persistent(default, key = Uuid)]
struct ByUuid {
    n: u64,
}
#[persistent(default, key = (String, i32, (u8, Uuid)))]
struct ByTuple {
    n: u64,
}

#[transactional]
fn text(object: &mut ByText) -> Result<u64> {
    object.n += 1;
    Ok(object.n)
}
#[transactional]
fn number(object: &mut ByNumber) -> Result<u64> {
    object.n += 1;
    Ok(object.n)
}
#[transactional]
fn uuid(object: &mut ByUuid) -> Result<u64> {
    object.n += 1;
    Ok(object.n)
}
#[transactional]
fn tuple(object: &mut ByTuple) -> Result<u64> {
    object.n += 1;
    Ok(object.n)
}

#[test]
fn callers_pass_what_they_have() {
    let store = Store::open("memory:").expect("opens");
    let _entered = store.enter();
    let owned = String::from("k");
    let shared: Arc<str> = "k".into();
    let counts = [
        text("k"),
        text(&owned),
        text(owned.clone()),
        text(owned.as_str()),
        text(Cow::Borrowed("k")),
        text(shared),
        text('k'),
        ["k"].iter().map(text).next().expect("one"),
    ];
    assert_eq!(counts.map(|count| count.expect("counts")), [1, 2, 3, 4, 5, 6, 7, 8]);
    let n = -7;
    assert_eq!([number(n), number(-7), number(&n)].map(|count| count.expect("counts")), [1, 2, 3]);
    let id = Uuid::from_u128(9);
    assert_eq!([uuid(id), uuid(&id)].map(|count| count.expect("counts")), [1, 2]);
    let key = ("a".to_owned(), 2, (3, id));
    assert_eq!([tuple(("a", 2, (3, id))), tuple(&key), tuple(key)].map(|count| count.expect("counts")), [1, 2, 3]);
}

#[test]
fn ranges_are_in_the_order_of_the_keys() {
    let store = Store::open("memory:").expect("opens");
    let numbers = [i64::MIN, -300, -1, 0, 1, 255, 256, i64::MAX];
    let all = |tx: &Tx| tx.keys::<ByNumber>(..).collect::<Result<Vec<_>>>();
    store.transaction(|tx| numbers.iter().rev().try_for_each(|n| tx.insert(n, ByNumber { n: 0 }))).expect("inserts");
    assert_eq!(store.transaction(all).expect("reads"), numbers);
    let some = |range: std::ops::RangeInclusive<i64>| {
        store.transaction(|tx| tx.keys::<ByNumber>(range.clone()).collect::<Result<Vec<_>>>()).expect("reads")
    };
    assert_eq!(some(-300..=1), [-300, -1, 0, 1]);
    assert_eq!(some(5..=4), [0; 0]);
    let after = store.transaction(|tx| {
        tx.keys::<ByNumber>((std::ops::Bound::Excluded(1), std::ops::Bound::Unbounded)).collect::<Result<Vec<_>>>()
    });
    assert_eq!(after.expect("reads"), [255, 256, i64::MAX]);
}

#[test]
fn a_key_of_another_type_than_the_stored_one_is_an_error_that_names_both() {
    mod other {
        #[metaparticle::persistent(default, name = "ByNumber")]
        pub(super) struct ByName {
            pub(super) n: u64,
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store").display().to_string();
    Store::open(&path).expect("opens").run(|| number(1)).expect("counts");
    let store = Store::open(&path).expect("opens");
    let error = store.transaction(|tx| tx.insert("a", other::ByName { n: 1 })).expect_err("another type of key");
    assert!(error.to_string().contains("i64") && error.to_string().contains("text"), "{error}");
}
