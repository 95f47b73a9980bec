//! Every version of a struct against every other, in both directions.

use metaparticle::{ErrorKind, Result, Store, Tx, persistent};

use metaparticle_tests::programs::Shared;

/// What all versions know of a person, as far as they know it.
#[derive(Debug, PartialEq, Clone)]
struct Person {
    name: String,
    age: Option<u64>,
}

/// A version of the program: how it writes, reads, and changes a person.
struct Version {
    name: &'static str,
    insert: fn(&Tx, &str) -> Result<()>,
    read: fn(&Tx) -> Result<Person>,
    rename: fn(&Tx, &str) -> Result<()>,
    knows_age: bool,
}

/// Defines a version by its struct, and by how to make one, to look at one, and to rename one.
macro_rules! version {
    ($module:ident, { $($item:item)* }, |$key:ident| $make:expr, |$p:ident| ($name:expr, $age:expr), |$m:ident, $new:ident| $rename:expr) => {
        mod $module {
            use super::*;
            $($item)*
            pub(super) fn version() -> Version {
                #[allow(unused_variables)]
                let age: fn(&User) -> Option<u64> = |$p| $age;
                let knows_age = age(&{ let $key = "x"; $make }).is_some();
                Version {
                    name: stringify!($module),
                    insert: |tx, $key| tx.insert("ann", $make),
                    read: |tx| {
                        let $p = tx.get::<User>("ann")?;
                        Ok(Person { name: $name, age: $age })
                    },
                    rename: |tx, $new| {
                        let mut $m = tx.get_mut::<User>("ann")?;
                        $rename;
                        Ok(())
                    },
                    knows_age,
                }
            }
        }
    };
}

version!(
    first,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            pub(super) name: String,
            pub(super) age: u32,
        }
    },
    |name| User { name: name.to_owned(), age: 30 },
    |p| (p.name.clone(), Some(p.age.into())),
    |m, new| m.name = new.to_owned()
);

version!(
    added,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            name: String,
            age: u32,
            #[persistent(default)]
            pub(super) email: Option<String>,
        }
    },
    |name| User { name: name.to_owned(), age: 30, email: Some("e".to_owned()) },
    |p| (p.name.clone(), Some(p.age.into())),
    |m, new| m.name = new.to_owned()
);

version!(
    renamed,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            #[persistent(alias = "name")]
            full_name: String,
            age: u32,
        }
    },
    |name| User { full_name: name.to_owned(), age: 30 },
    |p| (p.full_name.clone(), Some(p.age.into())),
    |m, new| m.full_name = new.to_owned()
);

version!(
    renamed_in_the_program_only,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            #[persistent(rename = "name")]
            full_name: String,
            age: u32,
        }
    },
    |name| User { full_name: name.to_owned(), age: 30 },
    |p| (p.full_name.clone(), Some(p.age.into())),
    |m, new| m.full_name = new.to_owned()
);

version!(
    removed,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            name: String,
        }
    },
    |name| User { name: name.to_owned() },
    |p| (p.name.clone(), None),
    |m, new| m.name = new.to_owned()
);

version!(
    reordered,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            age: u32,
            name: String,
        }
    },
    |name| User { name: name.to_owned(), age: 30 },
    |p| (p.name.clone(), Some(p.age.into())),
    |m, new| m.set_name(new.to_owned())
);

version!(
    widened,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            pub(super) name: String,
            pub(super) age: u64,
        }
    },
    |name| User { name: name.to_owned(), age: 30 },
    |p| (p.name.clone(), Some(p.age)),
    |m, new| m.set_name(new.to_owned())
);

version!(
    optional,
    {
        #[persistent(name = "User")]
        pub(super) struct User {
            name: String,
            #[persistent(default)]
            age: Option<u64>,
        }
    },
    |name| User { name: name.to_owned(), age: Some(30) },
    |p| (p.name.clone(), p.age),
    |m, new| m.set_name(new.to_owned())
);

version!(
    retyped,
    {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) struct Name {
            first: String,
            rest: Vec<String>,
        }
        impl From<String> for Name {
            fn from(first: String) -> Self {
                Self { first, rest: vec![] }
            }
        }
        #[persistent(name = "User")]
        pub(super) struct User {
            #[persistent(from = "String")]
            name: Name,
            age: u32,
        }
    },
    |name| User { name: name.to_owned().into(), age: 30 },
    |p| (p.name.first.clone(), Some(p.age.into())),
    |m, new| m.set_name(new.to_owned().into())
);

version!(
    migrated,
    {
        fn from_first(old: super::first::User) -> User {
            User { label: old.name, years: u64::from(old.age) }
        }
        #[persistent(name = "User", migrate = from_first)]
        pub(super) struct User {
            label: String,
            years: u64,
        }
    },
    |name| User { label: name.to_owned(), years: 30 },
    |p| (p.label.clone(), Some(p.years)),
    |m, new| m.set_label(new.to_owned())
);

fn versions() -> Vec<Version> {
    vec![
        first::version(),
        added::version(),
        renamed::version(),
        renamed_in_the_program_only::version(),
        removed::version(),
        reordered::version(),
        widened::version(),
        optional::version(),
        retyped::version(),
        migrated::version(),
    ]
}

/// Whether `reader` is made to read what `writer` has written.
fn reads(writer: &str, reader: &str) -> bool {
    // Those that are written alike.
    let plain = |name: &str| {
        if matches!(name, "reordered" | "renamed_in_the_program_only") { "first".to_owned() } else { name.to_owned() }
    };
    match (&*plain(writer), &*plain(reader)) {
        (writer, reader) if writer == reader => true,
        // An alias works one way only.
        ("renamed", _) | ("retyped" | "migrated", _) => false,
        ("removed", "optional" | "removed") => true,
        ("removed", _) => false,
        (_, "removed") => true,
        ("first" | "added", _) => true,
        ("widened", "optional") => true,
        ("widened" | "optional", _) => false,
        (writer, reader) => panic!("nothing is said about {writer} and {reader}"),
    }
}

fn read(store: &Store, version: &Version) -> Result<Person> {
    store.transaction(|tx| (version.read)(tx))
}

#[test]
fn every_version_reads_what_it_is_made_to_read_and_refuses_the_rest() {
    for writer in versions() {
        for reader in versions() {
            let pair = format!("{} read by {}", writer.name, reader.name);
            let engine = Shared::in_memory();
            engine.program().transaction(|tx| (writer.insert)(tx, "Ann")).expect("inserts");
            let read = read(&engine.program(), &reader);
            if !reads(writer.name, reader.name) {
                let error = read.expect_err(&pair);
                assert_eq!(error.kind(), ErrorKind::Incompatible, "{pair}");
                let said = error.to_string();
                assert!(said.contains("User") && said.contains("#[persistent("), "{pair}: {said}");
                continue;
            }
            let age = (writer.knows_age && reader.knows_age).then_some(30);
            assert_eq!(read.expect(&pair), Person { name: "Ann".to_owned(), age }, "{pair}");
        }
    }
}

#[test]
fn no_version_destroys_what_it_reads_or_refuses() {
    for writer in versions() {
        for other in versions() {
            let pair = format!("{} changed by {}", writer.name, other.name);
            let engine = Shared::in_memory();
            let (first, second) = (engine.program(), engine.program());
            first.transaction(|tx| (writer.insert)(tx, "Ann")).expect("inserts");
            let renamed = second.transaction(|tx| (other.rename)(tx, "Anna"));
            let back = read(&first, &writer);
            if renamed.is_err() {
                // Neither a change nor a replacement gets through.
                second.transaction(|tx| (other.insert)(tx, "Ben")).expect_err(&pair);
                assert_eq!(back.expect(&pair).name, "Ann", "{pair}");
                continue;
            }
            let again = read(&engine.program(), &other).expect(&pair);
            assert_eq!(again.name, "Anna", "{pair}");
            match back {
                // A field that the other one does not know is still there.
                Ok(person) => {
                    assert_eq!(person, Person { name: "Anna".to_owned(), age: writer.knows_age.then_some(30) }, "{pair}");
                }
                // What a newer program has written, an older one may be unable to read; it says so.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Incompatible, "{pair}"),
            }
        }
    }
}

#[test]
fn a_replaced_object_keeps_the_fields_that_only_a_newer_program_knows() {
    let engine = Shared::in_memory();
    let (old, new) = (engine.program(), engine.program());
    new.transaction(|tx| (added::version().insert)(tx, "Ann")).expect("inserts");
    old.transaction(|tx| (first::version().insert)(tx, "Ben")).expect("replaces");
    let email = |store: &Store| store.transaction(|tx| Ok::<_, metaparticle::Error>(tx.get::<added::User>("ann")?.email.clone()));
    assert_eq!(email(&new).expect("reads").as_deref(), Some("e"));
    old.transaction(|tx| {
        tx.remove::<first::User>("ann")?;
        (first::version().insert)(tx, "Cleo")
    })
    .expect("removes and inserts");
    assert_eq!(email(&new).expect("reads"), None, "what was removed is gone");
}

#[test]
fn a_program_that_was_there_before_goes_on_beside_a_newer_one() {
    let engine = Shared::in_memory();
    engine.program().transaction(|tx| (first::version().insert)(tx, "Ann")).expect("inserts");
    // The newer program writes an object that the older one cannot read.
    let insert = |tx: &Tx| tx.insert("ben", widened::User { name: "Ben".to_owned(), age: 1 << 40 });
    engine.program().transaction(insert).expect("inserts");
    let old = engine.program();
    assert_eq!(read(&old, &first::version()).expect("reads").name, "Ann");
    let error = old.transaction(|tx| tx.get::<first::User>("ben").map(|user| user.age)).expect_err("it is too wide");
    assert!(error.to_string().contains("User \"ben\"") && error.to_string().contains("u64"), "{error}");
}
