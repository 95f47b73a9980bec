//! Records whose few bytes stand for values without end.

use metaparticle::inspect::{Change, Inspector};
use metaparticle::{ErrorKind, Store, persistent};
use serde::{Deserialize, Serialize};

use crate::servers::peak;

#[derive(Serialize, Deserialize, Default, Debug)]
struct Chain(Option<Box<Chain>>);

#[derive(Serialize, Deserialize, Default, Debug)]
struct Tree {
    children: Vec<Tree>,
}

#[persistent(default)]
#[derive(Debug, Default)]
struct Nested {
    chain: Chain,
    tree: Tree,
    nothings: Vec<()>,
}

impl Chain {
    fn of(length: usize) -> Self {
        (0..length).fold(Self::default(), |inner, _| Self(Some(Box::new(inner))))
    }
}

/// Puts a record with these fields in the place of the object `a`, as somebody else might.
fn with_fields(fields: [&[u8]; 3]) -> Store {
    let store = Store::open("memory:").expect("opens");
    store.transaction(|tx| tx.insert("a", Nested { nothings: vec![()], ..Nested::default() })).expect("stores");
    let inspector = Inspector::new(&store);
    let stored = inspector.stored_type("Nested").expect("reads").expect("is there");
    let record = stored.encode(0, &fields).expect("composes");
    let (key, _) = inspector.records(stored.range()).next().expect("one").expect("reads");
    inspector.update(&key, |_| Ok(Change::Write(record.clone()))).expect("writes");
    store
}

/// What reading the object comes to, on a thread with a small stack.
fn read(fields: [&[u8]; 3]) -> metaparticle::Result<usize> {
    let store = with_fields(fields);
    let read = move || {
        let nested = store.transaction(|tx| metaparticle::Ok(tx.get::<Nested>("a")?.nothings.len()))?;
        store.transaction(|tx| {
            tx.get_mut::<Nested>("a")?.nothings.push(());
            metaparticle::Ok(nested)
        })
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(read).expect("starts").join().expect("no panic")
}

fn refused(fields: [&[u8]; 3], field: &str) {
    let error = read(fields).expect_err("it cannot be read");
    let text = error.to_string();
    assert!(error.is_corrupt() && text.contains("Nested \"a\"") && text.contains(field), "{error:?}");
}

#[test]
fn a_record_that_is_nested_too_deeply_is_an_error() {
    assert_eq!(read([b"\x01\x01\0", b"\x01\0", b"\x07"]).expect("it is sound"), 7);
    let deep = [&[1; 500_000][..], &[0]].concat();
    refused([&deep, b"\0", b"\0"], "`chain`");
    refused([b"\0", &deep, b"\0"], "`tree`");
}

#[test]
fn a_record_with_a_list_of_nothing_without_end_is_an_error() {
    refused([b"\0", b"\0", b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff"], "`nothings`");
}

#[test]
fn a_record_with_hostile_lengths_in_each_other_takes_no_memory() {
    // Each list says that it has 2^60 elements, and begins with another such list.
    let lists = b"\xfd\0\0\0\0\0\0\0\x10".repeat(40_000);
    let before = peak();
    refused([b"\0", &lists, b"\0"], "`tree`");
    // With what other tests take meanwhile.
    let taken = peak() - before;
    assert!(taken < 256 << 10, "{taken} KiB were taken");
}

#[test]
fn what_could_not_be_read_back_is_not_stored() {
    let store = Store::open("memory:").expect("opens");
    let put = |length: usize| store.transaction(|tx| tx.insert("a", Nested { chain: Chain::of(length), ..Nested::default() }));
    put(30).expect("it is not too deep");
    let error = put(1000).expect_err("it is too deep");
    assert!(error.kind() == ErrorKind::Encoding && error.to_string().contains("`chain`"), "{error:?}");
    let deepen = |tx: &metaparticle::Tx| {
        tx.get_mut::<Nested>("a")?.chain = Chain::of(1000);
        metaparticle::Ok(())
    };
    let error = store.transaction(deepen).expect_err("it is too deep");
    assert!(error.kind() == ErrorKind::Encoding && error.to_string().contains("`chain`"), "{error:?}");
    store.transaction(|tx| tx.get::<Nested>("a").map(drop)).expect("it is as it was");
}
