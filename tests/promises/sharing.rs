//! Decoded objects are shared by the transactions that read them, and left by those that change them to the next; nobody can tell but
//! by the time that it takes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use metaparticle::{Durability, ErrorKind, Ref, Result, Store, TransactionOptions, Tx, persistent, transactional};
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

#[persistent(default)]
struct Plain {
    text: String,
    numbers: Vec<u64>,
    other: Option<String>,
}

/// The room that the text has is not stored, so it tells whether the object is the one that the last transaction has left.
#[transactional]
fn set_text(object: &mut Plain, text: &str, room: usize) -> Result<usize> {
    let found = object.text.capacity();
    object.text.clear();
    object.text.reserve_exact(room);
    object.text.push_str(text);
    object.numbers.push(7);
    Ok(found)
}

#[transactional]
fn text(object: Ref<Plain>) -> Result<String> {
    Ok(object.text.clone())
}

/// A store whose object "a" was left by the transaction that has changed it last.
fn with_one_left() -> Store {
    let store = Store::open("memory:").expect("opens");
    for text in ["one", "two"] {
        store.run(|| set_text("a", text, 20)).expect("sets");
    }
    store
}

#[test]
fn an_object_that_is_changed_again_is_not_decoded_again() {
    let folder = metaparticle_tests::folder();
    let path = folder.path().join("store");
    for url in ["memory:", path.to_str().expect("a plain path")] {
        let store = Store::open(url).expect("opens");
        let _entered = store.enter();
        set_text("a", "one", 3).expect("sets");
        set_text("a", "one", 20).expect("sets");
        assert_eq!(set_text("a", "two", 20).expect("sets"), 20, "{url}");
        // Whoever reads it may have it meanwhile, and gives it back.
        assert_eq!(text("a").expect("reads"), "two");
        assert_eq!(set_text("a", "three", 20).expect("sets"), 20, "{url}");
        assert_eq!(text("a").expect("reads"), "three");
    }
}

#[test]
fn an_object_that_somebody_reads_is_not_changed_under_it() {
    let store = with_one_left();
    let _entered = store.enter();
    let read: Result<String> = store.transaction(|tx| {
        let object = tx.get::<Plain>("a")?;
        let other = || store.run(|| set_text("a", "three", 20)).expect("sets");
        std::thread::scope(|scope| scope.spawn(other).join().expect("no panic"));
        assert_eq!(object.text, "two");
        Ok(object.text.clone())
    });
    assert_eq!(read.expect("reads"), "two");
    assert_eq!(text("a").expect("reads"), "three");
}

#[test]
fn an_object_with_much_room_to_spare_is_not_kept() {
    let store = Store::open("memory:").expect("opens");
    let _entered = store.enter();
    set_text("a", "one", 20).expect("sets");
    set_text("a", "one", 1 << 20).expect("sets");
    assert!(set_text("a", "two", 20).expect("sets") < 100, "a store of many such objects would have no bound");
}

#[test]
fn a_change_that_is_rolled_back_is_not_left_to_the_next() {
    let store = with_one_left();
    let _entered = store.enter();
    let failed: Result<()> = store.transaction(|tx| {
        tx.get_mut::<Plain>("a")?.text.push('!');
        tx.get_mut::<Plain>("a")?.text.push('?');
        Err(tx.get::<Account>("nobody").expect_err("there is none"))
    });
    assert!(failed.is_err());
    let added: Result<String> = store.transaction(|tx| {
        let mut object = tx.get_mut::<Plain>("a")?;
        object.text.push('.');
        Ok(object.text.clone())
    });
    assert_eq!(added.expect("adds"), "two.");
}

#[test]
fn a_nested_change_that_is_undone_is_not_left_to_its_caller() {
    #[transactional]
    fn fail(object: &mut Plain, tx: &Tx) -> Result<()> {
        object.text.push('!');
        tx.get::<Account>("nobody").map(drop)
    }
    let store = with_one_left();
    let _entered = store.enter();
    for before in ["", "."] {
        let left: Result<String> = store.transaction(|tx| {
            tx.get_mut::<Plain>("a")?.text.push_str(before);
            assert_eq!(fail("a").expect_err("fails").kind(), ErrorKind::NotFound);
            let mut object = tx.get_mut::<Plain>("a")?;
            object.text.push('-');
            Ok(object.text.clone())
        });
        assert!(left.as_ref().is_ok_and(|left| !left.contains('!')), "{left:?}");
    }
    assert_eq!(text("a").expect("reads"), "two-.-");
}

/// What only this transaction knows, in a part that is not stored.
#[derive(Default, Serialize, Deserialize)]
struct Inner {
    stored: u64,
    #[serde(skip)]
    kept: u64,
}

mod doubled {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Stores a number without its last bit.
    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        (number / 2).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::deserialize(deserializer).map(|half| half * 2)
    }
}

#[persistent(default)]
struct Skipping {
    n: u64,
    #[persistent(skip)]
    kept: u64,
}

#[persistent(default)]
struct Nesting {
    n: u64,
    inner: Inner,
}

#[persistent(default)]
struct Halving {
    n: u64,
    #[persistent(with = doubled)]
    even: u64,
}

#[test]
fn what_is_not_stored_ends_with_its_transaction() {
    let store = Store::open("memory:").expect("opens");
    for n in 1..4 {
        let found: Result<[u64; 4]> = store.transaction(|tx| {
            let mut skipping = tx.get_mut::<Skipping>("a")?;
            let mut nesting = tx.get_mut::<Nesting>("a")?;
            let mut halving = tx.get_mut::<Halving>("a")?;
            let found = [skipping.kept, nesting.inner.kept, nesting.inner.stored, halving.even];
            (skipping.n, skipping.kept) = (n, 9);
            (nesting.n, nesting.inner) = (n, Inner { stored: n, kept: 9 });
            (halving.n, halving.even) = (n, 9);
            Ok(found)
        });
        let even = if n == 1 { 0 } else { 8 };
        assert_eq!(found.expect("commits"), [0, 0, n - 1, even]);
    }
}

#[persistent(default)]
struct Atomic {
    n: u64,
    hits: AtomicU64,
}

#[test]
fn what_a_reader_changes_behind_a_shared_reference_is_not_stored() {
    let store = Store::open("memory:").expect("opens");
    let _entered = store.enter();
    let write = |n| {
        store.transaction(|tx| {
            tx.get_mut::<Atomic>("a")?.n = n;
            metaparticle::Ok(())
        })
    };
    write(1).expect("writes");
    write(2).expect("writes");
    let read: Result<u64> = store.transaction(|tx| Ok(tx.get::<Atomic>("a")?.hits.fetch_add(7, Ordering::SeqCst)));
    assert_eq!(read.expect("reads"), 0);
    write(3).expect("writes");
    let read: Result<u64> = store.transaction(|tx| Ok(tx.get_mut::<Atomic>("a")?.hits.load(Ordering::SeqCst)));
    assert_eq!(read.expect("reads"), 0);
}

/// Runs a transaction as it goes, once there is a store for that.
#[derive(Default, Serialize, Deserialize)]
struct Busy(u64);

static OF_BUSY: OnceLock<Store> = OnceLock::new();
static WENT: AtomicU64 = AtomicU64::new(0);

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(store) = OF_BUSY.get() else { return };
        let eventual = TransactionOptions::new().durability(Durability::Eventual);
        store.transaction_with(eventual, |tx| tx.insert("went", Account { balance: 1 })).expect("inserts");
        WENT.fetch_add(1, Ordering::SeqCst);
    }
}

static FAREWELLS: AtomicU64 = AtomicU64::new(0);

/// Runs a transaction as it goes, within a body that is running.
#[persistent(default)]
struct Farewell {
    n: u64,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Ok(store) = OF_FAREWELL.try_lock()
            && let Some(store) = &*store
        {
            store.transaction(|tx| tx.insert("went", Account { balance: 1 })).expect("inserts");
            FAREWELLS.fetch_add(1, Ordering::SeqCst);
        }
    }
}

static OF_FAREWELL: Mutex<Option<Store>> = Mutex::new(None);

#[test]
fn an_object_may_run_a_transaction_when_another_state_takes_its_place() {
    let store = Store::open("memory:").expect("opens");
    let change = |then: fn(&Tx) -> Result<()>| {
        *OF_FAREWELL.lock().expect("no panic") = Some(store.clone());
        let changed: Result<()> = store.transaction(|tx| {
            tx.get_mut::<Farewell>("a")?.n += 1;
            then(tx)
        });
        *OF_FAREWELL.lock().expect("no panic") = None;
        changed.expect("commits");
    };
    change(|tx| tx.remove::<Farewell>("a").map(drop));
    change(|tx| tx.insert("a", Farewell { n: 7 }));
    change(|tx| {
        tx.get_mut::<Farewell>("a")?.n = 9;
        Ok(())
    });
    assert!(FAREWELLS.load(Ordering::SeqCst) > 0);
}

/// Panics as it is decoded, if it is to.
#[derive(Serialize)]
struct Touchy(u64);

static IS_TOUCHY: AtomicBool = AtomicBool::new(false);

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        assert!(!IS_TOUCHY.swap(false, Ordering::SeqCst), "it is touchy");
        u64::deserialize(from).map(Self)
    }
}

#[persistent]
struct Brittle {
    part: Touchy,
}

#[test]
fn an_object_whose_decoding_has_panicked_is_in_nobodys_hand() {
    let store = Store::open("memory:").expect("opens");
    store.transaction(|tx| tx.insert("a", Brittle { part: Touchy(1) })).expect("inserts");
    let removed: Result<bool> = store.transaction(|tx| {
        IS_TOUCHY.store(true, Ordering::SeqCst);
        let read = catch_unwind(AssertUnwindSafe(|| tx.get::<Brittle>("a").map(|brittle| brittle.part.0)));
        assert!(read.is_err(), "it has not panicked");
        tx.remove::<Brittle>("a")
    });
    assert!(removed.expect("nobody has it in hand"));
}

#[persistent(default)]
struct Kept {
    busy: Busy,
    text: String,
}

#[test]
fn an_object_may_run_a_transaction_when_it_is_kept_no_longer() {
    const OBJECTS: u64 = 300;
    let folder = metaparticle_tests::folder();
    let open = || {
        let path = folder.path().join("store").display().to_string();
        Store::builder(path).cache_bytes(64 << 10).open().expect("opens")
    };
    let store = open();
    for n in 0..OBJECTS {
        let object = || Kept { busy: Busy(n), text: "x".repeat(1000) };
        let insert = |tx: &Tx| tx.insert(n.to_string(), object());
        store.transaction(insert).expect("inserts");
    }
    drop(store);
    // From now on, they are in the library, and a few of them at hand.
    let store = open();
    OF_BUSY.set(store.clone()).expect("there was none");
    let (ended, end) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        for _ in 0..3 {
            for n in 0..OBJECTS {
                store.transaction(|tx| tx.get::<Kept>(n.to_string()).map(drop)).expect("reads");
            }
        }
        ended.send(()).expect("somebody waits");
    });
    end.recv_timeout(Duration::from_secs(300)).expect("nobody waits for a lock of their own");
    thread.join().expect("no panic");
    assert!(WENT.load(Ordering::SeqCst) > OBJECTS, "hardly any object has gone");
}
