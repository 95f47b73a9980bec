//! Nothing is written that has not changed.

use std::collections::{HashMap, HashSet};

use metaparticle::{Mut, Result, persistent, transactional};
use metaparticle_tests::{TestStore, on_every_engine};

use crate::{Counter, Page, TextIndex};

on_every_engine! {
    equal_values_commit_nothing
    a_mutable_reference_that_changes_nothing_commits_nothing
    a_map_that_has_not_changed_is_not_written
    a_map_that_is_stored_as_text_and_has_not_changed_is_not_written
    an_untouched_absent_object_is_not_stored
    what_is_made_and_removed_again_is_not_written
    a_removed_object_that_is_given_its_defaults_is_not_stored
    a_changed_object_is_stored_once
    inserting_an_equal_object_commits_nothing
}

fn equal_values_commit_nothing(engine: &str) {
    #[transactional]
    fn assign(page: &mut Page) -> Result<()> {
        page.visits = 3;
        page.title = "title".to_owned();
        Ok(())
    }
    #[transactional]
    fn assign_with_accessors(page: Mut<Page>) -> Result<()> {
        page.set_visits(3);
        page.set_title("title".to_owned());
        Ok(())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    assign("home").expect("assigns");
    assert_eq!(store.stats().commits, 1);
    assign("home").and_then(|()| assign_with_accessors("home")).expect("assigns");
    assert_eq!(store.stats().commits, 1, "equal values were written");
}

fn a_mutable_reference_that_changes_nothing_commits_nothing(engine: &str) {
    #[transactional]
    fn touch(page: &mut Page) -> Result<usize> {
        page.visits += 1;
        page.visits -= 1;
        let tags = &mut page.tags;
        tags.reverse();
        tags.reverse();
        Ok(tags.len())
    }
    let store = TestStore::new(engine);
    store.run(|| touch("home")).expect("touches");
    assert_eq!(store.stats().commits, 0);
}

/// A `HashMap` is read back in another order than it was written in; that is no change.
fn a_map_that_has_not_changed_is_not_written(engine: &str) {
    #[persistent(default)]
    struct Index {
        words: HashMap<String, u32>,
        seen: HashSet<u64>,
        n: u64,
    }
    #[transactional]
    fn fill(index: &mut Index) -> Result<()> {
        index.words = (0..100).map(|n| (n.to_string(), n)).collect();
        index.seen = (0..100).collect();
        Ok(())
    }
    #[transactional]
    fn look(index: &mut Index) -> Result<usize> {
        Ok(index.words.values_mut().count() + index.seen.len())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    fill("i").expect("fills");
    for _ in 0..10 {
        assert_eq!(look("i").expect("looks"), 200);
    }
    assert_eq!(store.stats().commits, 1, "an unchanged map was written");
}

/// Nor is the text that is made of it the same again.
fn a_map_that_is_stored_as_text_and_has_not_changed_is_not_written(engine: &str) {
    #[transactional]
    fn fill(index: &mut TextIndex) -> Result<()> {
        index.words = (0..100).map(|n| (n.to_string(), n)).collect();
        Ok(())
    }
    #[transactional]
    fn look(index: &mut TextIndex) -> Result<usize> {
        Ok(index.words.values_mut().count())
    }
    let store = TestStore::new(engine);
    let _entered = store.enter();
    fill("i").expect("fills");
    for _ in 0..10 {
        assert_eq!(look("i").expect("looks"), 100);
    }
    assert_eq!(store.stats().commits, 1, "an unchanged map was written");
}

fn an_untouched_absent_object_is_not_stored(engine: &str) {
    #[transactional]
    fn look(counter: &mut Counter) -> Result<u64> {
        counter.n = 0;
        Ok(counter.n)
    }
    let store = TestStore::new(engine);
    store.run(|| look("n")).expect("looks");
    assert!(!store.transaction(|tx| tx.contains::<Counter>("n")).expect("looks"));
}

/// It is as absent as one that was never there.
fn a_removed_object_that_is_given_its_defaults_is_not_stored(engine: &str) {
    let store = TestStore::new(engine);
    store.transaction(|tx| tx.insert("n", Counter { n: 1 })).expect("inserts");
    store
        .transaction(|tx| {
            tx.remove::<Counter>("n")?;
            tx.get_mut::<Counter>("n")?.set_n(0);
            assert!(!tx.contains::<Counter>("n")?, "it was not changed");
            metaparticle::Ok(())
        })
        .expect("removes");
    assert!(!store.transaction(|tx| tx.contains::<Counter>("n")).expect("looks"));
}

fn a_changed_object_is_stored_once(engine: &str) {
    let store = TestStore::new(engine);
    store
        .transaction(|tx| {
            for _ in 0..10 {
                tx.get_mut::<Counter>("n")?.n += 1;
            }
            metaparticle::Ok(())
        })
        .expect("commits");
    assert_eq!((store.stats().commits, store.stats().attempts), (1, 1));
}

fn inserting_an_equal_object_commits_nothing(engine: &str) {
    let store = TestStore::new(engine);
    let insert = || store.transaction(|tx| tx.insert("n", Counter { n: 1 })).expect("inserts");
    insert();
    insert();
    assert_eq!(store.stats().commits, 1);
}

fn what_is_made_and_removed_again_is_not_written(engine: &str) {
    let store = TestStore::new(engine);
    store
        .transaction(|tx| {
            tx.insert("home", Counter { n: 1 })?;
            tx.remove::<Counter>("home").map(drop)
        })
        .expect("changes nothing");
    assert_eq!(store.stats().commits, 0);
}
