//! Structs change, records stay.

use metaparticle::{ErrorKind, Result, Store};
use metaparticle_tests::folder;
use tempfile::TempDir;

/// The struct as the first program had it.
mod one {
    #[metaparticle::persistent(name = "User")]
    pub(super) struct User {
        pub(super) name: String,
        pub(super) age: u32,
    }
}

/// As a later one has it: reordered, renamed and with more fields.
mod two {
    #[metaparticle::persistent(name = "User")]
    pub(super) struct User {
        #[persistent(default)]
        pub(super) email: Option<String>,
        pub(super) age: u32,
        #[persistent(alias = "name")]
        pub(super) full_name: String,
    }
}

/// Without a default for what is new.
mod careless {
    #[metaparticle::persistent(name = "User")]
    pub(super) struct User {
        pub(super) name: String,
        pub(super) nickname: String,
    }
}

/// With a field removed.
mod smaller {
    #[metaparticle::persistent(name = "User")]
    pub(super) struct User {
        #[persistent(alias = "full_name")]
        pub(super) name: String,
    }
}

/// With a field of another type.
mod other {
    #[metaparticle::persistent(name = "User")]
    pub(super) struct User {
        pub(super) name: Vec<String>,
    }
}

/// Programs that use one folder one after the other.
struct Programs {
    folder: TempDir,
}

impl Programs {
    fn new() -> Self {
        Self { folder: folder() }
    }

    /// Runs the next program.
    fn run<R>(&self, program: impl FnOnce(&Store) -> R) -> R {
        let path = self.folder.path().join("store");
        program(&Store::open(path.to_str().expect("text")).expect("opens"))
    }
}

fn insert_one(programs: &Programs) {
    let insert = |store: &Store| store.transaction(|tx| tx.insert("ann", one::User { name: "Ann".to_owned(), age: 30 }));
    programs.run(insert).expect("inserts");
}

fn read_one(programs: &Programs) -> Result<(String, u32)> {
    programs.run(|store| {
        store.transaction(|tx| {
            let user = tx.get::<one::User>("ann")?;
            metaparticle::Ok((user.name.clone(), user.age))
        })
    })
}

fn read_two(programs: &Programs) -> Result<(String, u32, Option<String>)> {
    programs.run(|store| {
        store.transaction(|tx| {
            let user = tx.get::<two::User>("ann")?;
            metaparticle::Ok((user.full_name.clone(), user.age, user.email.clone()))
        })
    })
}

#[test]
fn a_new_field_with_a_default_is_made_up() {
    let programs = Programs::new();
    insert_one(&programs);
    assert_eq!(read_two(&programs).expect("reads"), ("Ann".to_owned(), 30, None));
}

/// A body that assigns equal values changes nothing, whatever form the record has.
#[test]
fn an_old_record_is_not_rewritten_where_nothing_changes() {
    let programs = Programs::new();
    insert_one(&programs);
    programs.run(|store| {
        let touch = store.transaction(|tx| {
            let mut user = tx.get_mut::<two::User>("ann")?;
            user.age += 0;
            user.email = None;
            metaparticle::Ok(())
        });
        touch.expect("touches");
        assert_eq!(store.stats().commits, 0, "it was written anew");
    });
}

#[test]
fn a_new_field_without_a_default_is_an_error_that_says_what_to_write() {
    let programs = Programs::new();
    insert_one(&programs);
    let read = |store: &Store| {
        store.transaction(|tx| {
            let user = tx.get::<careless::User>("ann")?;
            metaparticle::Ok(user.name.len() + user.nickname.len())
        })
    };
    let error = programs.run(read).expect_err("there is no nickname");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let said = error.to_string();
    assert!(said.contains("User") && said.contains("`nickname`") && said.contains("#[persistent(default)]"), "{said}");
}

#[test]
fn a_renamed_field_is_found_by_its_alias() {
    let programs = Programs::new();
    insert_one(&programs);
    let grow = |store: &Store| {
        store.transaction(|tx| {
            tx.get_mut::<two::User>("ann")?.age += 1;
            metaparticle::Ok(())
        })
    };
    programs.run(grow).expect("writes");
    assert_eq!(read_two(&programs).expect("reads"), ("Ann".to_owned(), 31, None));
}

#[test]
fn reordered_and_removed_fields_do_not_matter() {
    let programs = Programs::new();
    insert_one(&programs);
    let rename = |store: &Store| {
        store.transaction(|tx| {
            let mut user = tx.get_mut::<smaller::User>("ann")?;
            user.name.push('a');
            metaparticle::Ok(user.name.clone())
        })
    };
    assert_eq!(programs.run(rename).expect("writes"), "Anna");
    // What the smaller program did not know is still there.
    assert_eq!(read_one(&programs).expect("reads"), ("Anna".to_owned(), 30));
}

#[test]
fn fields_that_an_older_program_does_not_know_are_kept() {
    let programs = Programs::new();
    let insert = |store: &Store| {
        let user = || two::User { email: Some("ann@example.org".to_owned()), age: 30, full_name: "Ann".to_owned() };
        store.transaction(|tx| tx.insert("ann", user()))
    };
    programs.run(insert).expect("inserts");
    for _ in 0..3 {
        let rename = |store: &Store| {
            store.transaction(|tx| {
                tx.get_mut::<smaller::User>("ann")?.name.push('a');
                metaparticle::Ok(())
            })
        };
        programs.run(rename).expect("writes");
        assert_eq!(read_two(&programs).expect("reads").2.as_deref(), Some("ann@example.org"));
    }
}

#[test]
fn a_field_of_another_type_is_an_error_and_nothing_is_overwritten() {
    let programs = Programs::new();
    insert_one(&programs);
    let read = |store: &Store| {
        store.transaction(|tx| {
            tx.get_mut::<other::User>("ann")?.name.push("b".to_owned());
            metaparticle::Ok(())
        })
    };
    let error = programs.run(read).expect_err("it is text");
    assert!(error.to_string().contains("User") && error.to_string().contains("`name`"), "{error}");
    assert_eq!(read_one(&programs).expect("reads"), ("Ann".to_owned(), 30));
}
