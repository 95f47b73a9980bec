//! Decoded objects are shared by the transactions that read them, and nobody can tell but by the time that it takes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use metaparticle::{Ref, Result, Store, persistent, transactional};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Account;

static DECODED: AtomicU64 = AtomicU64::new(0);

/// A number that counts how often one of it was decoded.
#[derive(Default, Serialize)]
struct Counted(u64);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        // The shape of the type is found by decoding it, too.
        if number > 100 {
            DECODED.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Self(number))
    }
}

#[persistent(default)]
struct Shared {
    number: Counted,
}

#[persistent(default)]
struct Alone {
    number: Cell<u64>,
}

#[transactional]
fn read(object: Ref<Shared>) -> Result<u64> {
    Ok(object.number.0)
}

#[transactional]
fn set(object: &mut Shared, number: u64) -> Result<()> {
    object.number.0 = number;
    Ok(())
}

fn decoded(work: impl FnOnce()) -> u64 {
    let before = DECODED.load(Ordering::SeqCst);
    work();
    DECODED.load(Ordering::SeqCst) - before
}

#[test]
fn an_object_that_many_transactions_read_is_decoded_once() {
    let folder = metaparticle_tests::folder();
    let path = folder.path().join("store");
    for url in ["memory:", path.to_str().expect("a plain path")] {
        let store = Store::open(url).expect("opens");
        let _entered = store.enter();
        set("a", 101).expect("sets");
        let all = || (0..50).for_each(|_| assert_eq!(read("a").expect("reads"), 101));
        assert_eq!(decoded(all), 1, "{url}");
        set("a", 102).expect("sets");
        assert_eq!(decoded(|| assert_eq!(read("a").expect("reads"), 102)), 1, "an old state was given out: {url}");
    }
}

/// What a body changes is its own until it is committed.
#[test]
fn a_change_that_is_undone_is_seen_by_nobody() {
    let store = Store::open("memory:").expect("opens");
    let _entered = store.enter();
    set("b", 7).expect("sets");
    assert_eq!(read("b").expect("reads"), 7);
    let undone: Result<()> = store.transaction(|tx| {
        tx.get_mut::<Shared>("b")?.number.0 = 8;
        assert_eq!(tx.get::<Shared>("b")?.number.0, 8);
        Err(tx.get::<Account>("nobody").expect_err("there is none"))
    });
    assert!(undone.is_err());
    assert_eq!(read("b").expect("reads"), 7);
}

/// A `Cell` can be changed behind a shared reference, so an object with one is each transaction's own.
#[test]
fn what_one_changes_behind_a_shared_reference_is_not_seen_by_others() {
    let store = Store::open("memory:").expect("opens");
    let write = store.transaction(|tx| tx.insert::<Alone>("c", Alone { number: Cell::new(1) }));
    write.expect("inserts");
    for _ in 0..2 {
        let read = store.transaction(|tx| Ok::<_, metaparticle::Error>(tx.get::<Alone>("c")?.number.replace(9)));
        assert_eq!(read.expect("reads"), 1);
    }
}
