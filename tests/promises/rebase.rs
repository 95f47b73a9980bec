//! Changes of fields that nobody else touches do not conflict.

use metaparticle::{Mut, Result, Store, Tx, transactional};
use metaparticle_tests::programs::Shared;
use metaparticle_tests::{TestStore, on_every_engine, on_threads};

use crate::Page;

on_every_engine! {
    disjoint_accessor_changes_rebase_without_a_rerun
    a_field_that_was_read_is_a_conflict
    assigning_the_old_value_wins_over_what_was_written_meanwhile
    the_whole_object_read_is_a_conflict
    a_removed_object_is_a_conflict
    many_writers_of_different_fields_lose_nothing
    an_insert_does_not_conflict_with_what_it_has_not_read
}

/// The page as a later program has it.
mod later {
    #[metaparticle::persistent(name = "Page")]
    pub(super) struct Page {
        pub(super) title: String,
        #[persistent(default)]
        pub(super) author: String,
        pub(super) visits: u64,
        pub(super) tags: Vec<String>,
    }
}

fn page(store: &Store) -> (u64, String, Vec<String>) {
    let read = store.transaction(|tx| {
        let page = tx.get::<Page>("home")?;
        metaparticle::Ok((page.visits, page.title.clone(), page.tags.clone()))
    });
    read.expect("reads")
}

#[transactional]
fn retitle(page: Mut<Page>, title: &str) -> Result<()> {
    page.set_title(title.to_owned());
    Ok(())
}

#[transactional]
fn visit(page: Mut<Page>) -> Result<u64> {
    page.set_visits(page.visits() + 1);
    Ok(*page.visits())
}

fn with_page(engine: &str) -> TestStore {
    let store = TestStore::new(engine);
    store.transaction(|tx| tx.insert("home", Page { visits: 1, title: "old".to_owned(), tags: Vec::new() })).expect("inserts");
    store
}

fn meanwhile(store: &Store, f: impl FnOnce() -> Result<()> + Send) {
    std::thread::scope(|scope| scope.spawn(|| store.run(f)).join().expect("no panic")).expect("succeeds");
}

/// Runs `body` while, in its first attempt, the title is changed. Gives the number of attempts.
fn while_retitled(store: &Store, body: impl Fn(&Tx) -> Result<()>) -> u32 {
    let attempts = store.transaction(|tx| {
        body(tx)?;
        if tx.attempt() == 1 {
            meanwhile(store, || retitle("home", "new"));
        }
        metaparticle::Ok(tx.attempt())
    });
    attempts.expect("commits")
}

fn disjoint_accessor_changes_rebase_without_a_rerun(engine: &str) {
    let store = with_page(engine);
    let attempts = while_retitled(&store, |tx| {
        let mut page = tx.get_mut::<Page>("home")?;
        page.set_visits(page.visits() + 1);
        page.tags_mut().push("a".to_owned());
        Ok(())
    });
    assert_eq!(attempts, 1);
    assert_eq!(page(&store), (2, "new".to_owned(), vec!["a".to_owned()]));
    assert_eq!((store.stats().rebases, store.stats().reruns), (1, 0));
}

fn a_field_that_was_read_is_a_conflict(engine: &str) {
    let store = with_page(engine);
    let attempts = while_retitled(&store, |tx| {
        let mut page = tx.get_mut::<Page>("home")?;
        page.set_visits(page.title().len() as u64 + 10);
        Ok(())
    });
    assert_eq!(attempts, 2);
    assert_eq!(page(&store).0, 13);
}

fn assigning_the_old_value_wins_over_what_was_written_meanwhile(engine: &str) {
    let store = with_page(engine);
    let attempts = while_retitled(&store, |tx| {
        let mut page = tx.get_mut::<Page>("home")?;
        page.set_title("old".to_owned());
        page.set_visits(7);
        Ok(())
    });
    assert_eq!(attempts, 1, "nothing was read");
    assert_eq!(page(&store), (7, "old".to_owned(), vec![]), "it came last, and said old");
}

fn the_whole_object_read_is_a_conflict(engine: &str) {
    let store = with_page(engine);
    let attempts = while_retitled(&store, |tx| {
        let mut page = tx.get_mut::<Page>("home")?;
        page.visits += 1;
        Ok(())
    });
    assert_eq!(attempts, 2);
    assert_eq!(page(&store), (2, "new".to_owned(), vec![]));
}

fn a_removed_object_is_a_conflict(engine: &str) {
    let store = with_page(engine);
    let attempts = store.transaction(|tx| {
        let mut page = tx.get_mut::<Page>("home")?;
        page.set_visits(7);
        if tx.attempt() == 1 {
            let other: Store = store.clone();
            meanwhile(&store, move || other.transaction(|tx| tx.remove::<Page>("home").map(drop)));
        }
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("commits"), 2);
    assert_eq!(page(&store), (7, String::new(), vec![]), "made anew, and not half of the old one");
}

fn many_writers_of_different_fields_lose_nothing(engine: &str) {
    let store = with_page(engine);
    on_threads(4, |thread| {
        let _entered = store.enter();
        for n in 0..100 {
            match thread % 2 {
                0 => drop(visit("home").expect("visits")),
                _ => retitle("home", &format!("{n}")).expect("retitles"),
            }
        }
    });
    assert_eq!(page(&store), (201, "99".to_owned(), vec![]));
}

fn an_insert_does_not_conflict_with_what_it_has_not_read(engine: &str) {
    let store = with_page(engine);
    let attempts =
        while_retitled(&store, |tx| tx.insert("home", Page { visits: 50, title: "whole".to_owned(), tags: Vec::new() }));
    assert_eq!(attempts, 1);
    assert_eq!(page(&store), (50, "whole".to_owned(), vec![]));
}

#[test]
fn a_field_that_was_read_is_a_conflict_also_if_a_later_program_has_changed_it() {
    let engine = Shared::in_memory();
    let (old, new) = (engine.program(), engine.program());
    old.transaction(|tx| tx.insert("home", Page { visits: 1, title: "old".to_owned(), tags: Vec::new() })).expect("inserts");
    let retitle_later = |title: &str| {
        let changed = new.transaction(|tx| {
            let mut page = tx.get_mut::<later::Page>("home")?;
            page.set_title(title.to_owned());
            page.set_author(format!("of {title}"));
            metaparticle::Ok(())
        });
        changed.expect("changes");
    };
    // From a record of its own form to one of a later form.
    for (title, attempts) in [("newest", 2), ("newest", 1)] {
        let attempted = old.transaction(|tx| {
            let mut page = tx.get_mut::<Page>("home")?;
            page.set_visits(page.title().len() as u64 + 10);
            if tx.attempt() == 1 {
                std::thread::scope(|scope| scope.spawn(|| retitle_later(title)).join().expect("no panic"));
            }
            metaparticle::Ok(tx.attempt())
        });
        assert_eq!(attempted.expect("commits"), attempts, "while it was given the title {title}");
        assert_eq!(page(&old), (16, "newest".to_owned(), vec![]));
    }
}
