//! Changes of fields that nobody else touches do not conflict.

use metaparticle::{Mut, Result, Store, Tx, transactional};
use metaparticle_tests::programs::Shared;
use metaparticle_tests::{TestStore, on_every_engine, on_threads};

use crate::{Page, TextIndex};

on_every_engine! {
    disjoint_accessor_changes_rebase_without_a_rerun
    a_field_that_was_read_is_a_conflict
    assigning_the_old_value_wins_over_what_was_written_meanwhile
    the_whole_object_read_is_a_conflict
    a_removed_object_is_a_conflict
    many_writers_of_different_fields_lose_nothing
    an_insert_does_not_conflict_with_what_it_has_not_read
    a_map_that_is_stored_as_text_and_was_not_touched_keeps_what_others_add
    of_very_many_fields_no_change_is_lost
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

fn a_map_that_is_stored_as_text_and_was_not_touched_keeps_what_others_add(engine: &str) {
    let store = TestStore::new(engine);
    let add = |from: u64, to: u64| {
        store.transaction(|tx| {
            let mut index = tx.get_mut::<TextIndex>("i")?;
            index.words_mut().extend((from..to).map(|n| (n.to_string(), n)));
            metaparticle::Ok(())
        })
    };
    add(0, 100).expect("adds");
    let attempts = store.transaction(|tx| {
        tx.get_mut::<TextIndex>("i")?.set_n(1);
        if tx.attempt() == 1 {
            meanwhile(&store, || add(100, 101));
        }
        metaparticle::Ok(tx.attempt())
    });
    assert_eq!(attempts.expect("commits"), 1, "nothing that it has read has changed");
    let read = store.transaction(|tx| tx.get::<TextIndex>("i").map(|index| (index.n, index.words.len())));
    assert_eq!(read.expect("reads"), (1, 101));
}

/// More than there are places in the set of those that were read and written.
fn of_very_many_fields_no_change_is_lost(engine: &str) {
    let store = TestStore::new(engine);
    store.transaction(|tx| tx.get_mut::<Wide>("w").map(|mut wide| wide.set_f0(1))).expect("changes");
    let changed = store.transaction(|tx| {
        tx.get_mut::<Wide>("w")?.set_f128(2);
        if tx.attempt() == 1 {
            meanwhile(&store, || store.transaction(|tx| tx.get_mut::<Wide>("w").map(|mut wide| wide.set_f129(3))));
        }
        metaparticle::Ok(())
    });
    changed.expect("commits");
    let read = store.transaction(|tx| tx.get::<Wide>("w").map(|wide| (wide.f0, wide.f128, wide.f129)));
    assert_eq!(read.expect("reads"), (1, 2, 3));
}

#[rustfmt::skip]
#[metaparticle::persistent(default)]
struct Wide {
    f0: u8, f1: u8, f2: u8, f3: u8, f4: u8, f5: u8, f6: u8, f7: u8, f8: u8, f9: u8, f10: u8, f11: u8, f12: u8, f13: u8, f14: u8,
    f15: u8, f16: u8, f17: u8, f18: u8, f19: u8, f20: u8, f21: u8, f22: u8, f23: u8, f24: u8, f25: u8, f26: u8, f27: u8, f28: u8, f29: u8,
    f30: u8, f31: u8, f32: u8, f33: u8, f34: u8, f35: u8, f36: u8, f37: u8, f38: u8, f39: u8, f40: u8, f41: u8, f42: u8, f43: u8, f44: u8,
    f45: u8, f46: u8, f47: u8, f48: u8, f49: u8, f50: u8, f51: u8, f52: u8, f53: u8, f54: u8, f55: u8, f56: u8, f57: u8, f58: u8, f59: u8,
    f60: u8, f61: u8, f62: u8, f63: u8, f64: u8, f65: u8, f66: u8, f67: u8, f68: u8, f69: u8, f70: u8, f71: u8, f72: u8, f73: u8, f74: u8,
    f75: u8, f76: u8, f77: u8, f78: u8, f79: u8, f80: u8, f81: u8, f82: u8, f83: u8, f84: u8, f85: u8, f86: u8, f87: u8, f88: u8, f89: u8,
    f90: u8, f91: u8, f92: u8, f93: u8, f94: u8, f95: u8, f96: u8, f97: u8, f98: u8, f99: u8, f100: u8, f101: u8, f102: u8, f103: u8, f104: u8,
    f105: u8, f106: u8, f107: u8, f108: u8, f109: u8, f110: u8, f111: u8, f112: u8, f113: u8, f114: u8, f115: u8, f116: u8, f117: u8, f118: u8, f119: u8,
    f120: u8, f121: u8, f122: u8, f123: u8, f124: u8, f125: u8, f126: u8, f127: u8, f128: u8, f129: u8,
}
