//! What is fjall's alone: its limits, its tables, its threads, and first openings that fail.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::entry::head_key;
use super::super::folder::Folder;
use super::super::folder_map::FolderMap;
use super::super::folder_tests::{CACHE, apply, bytes, copy, folder, get};
use super::super::library::Library;
use super::Fjall;
use crate::engine::Limits;
use crate::error::Result;
use crate::sync::{Instant, thread};

const LIMITS: Limits = Fjall::LIMITS;

fn open(path: &Path) -> Result<FolderMap<Fjall>> {
    super::open(path, CACHE)
}

/// fjall alone, without what metaparticle knows of the store.
fn open_library(path: &Path) -> (::fjall::Database, ::fjall::Keyspace) {
    let db = ::fjall::Database::builder(path.join("fjall")).open().expect("opens");
    let records = db.keyspace("records", ::fjall::KeyspaceCreateOptions::default).expect("opens");
    (db, records)
}

/// Empties the journal of a closed store: its records are in tables after that.
pub(in super::super) fn move_to_tables(path: &Path) {
    open(path).expect("opens").library.records.rotate_memtable_and_wait().expect("moves");
}

#[test]
fn a_first_opening_that_left_half_a_file_is_begun_anew() {
    // As far as fjall has come: with a journal alone, and with a version and no tree to go with it.
    for files in [&["0.jnl"][..], &["0.jnl", "version"]] {
        let folder = folder();
        let path = folder.path().join("store");
        drop(Folder::open(&path, "fjall").expect("makes"));
        fs::create_dir(path.join("fjall")).expect("makes");
        files.iter().for_each(|file| fs::write(path.join("fjall").join(file), "half of it").expect("writes"));
        apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
        assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
        assert_eq!(fs::read_dir(path.join("damaged")).expect("lists").count(), 1);
    }
}

#[test]
fn a_store_opens_with_a_cache_of_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&super::open(&path, 0).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    move_to_tables(&path);
    assert_eq!(get(&super::open(&path, 0).expect("opens"), b"a"), Some(bytes(1, 10)));
}

/// What is done to fjall's files.
type Damage = fn(&Path);

/// fjall removes folders that it does not know, and panics twice at those whose names are no numbers, which ends the process.
#[test]
fn what_fjall_would_remove_is_an_error_and_left_alone() {
    let damages: [(&str, Damage); 4] = [
        ("fjall/version` is gone", |path| fs::remove_file(path.join("version")).expect("removes")),
        ("fjall/keyspaces/0/current` is gone", |path| fs::remove_file(path.join("keyspaces/0/current")).expect("removes")),
        ("fjall/keyspaces/1/current` is gone", |path| fs::remove_file(path.join("keyspaces/1/current")).expect("removes")),
        ("fjall/keyspaces/mine` does not belong there", |path| fs::create_dir(path.join("keyspaces/mine")).expect("makes")),
    ];
    for (says, damage) in damages {
        let folder = folder();
        let path = folder.path().join("store");
        apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
        move_to_tables(&path);
        let tables = || fs::read_dir(path.join("fjall/keyspaces/1/tables")).expect("lists").count();
        let before = tables();
        damage(&path.join("fjall"));
        let error = open(&path).err().expect("it is damaged");
        assert!(error.is_corrupt() && error.to_string().contains(says), "{error:?}");
        assert_eq!(tables(), before, "{says}");
    }
}

/// As damage that fjall itself does not notice would do.
#[test]
fn a_record_that_is_gone_or_an_earlier_one_is_noticed() {
    let folder = folder();
    let path = folder.path().join("store");
    let map = open(&path).expect("opens");
    apply(&map, 1, &[(b"a", Some(bytes(1, 10))), (b"b", Some(bytes(1, 10)))]);
    let records = map.library.records.clone();
    let old = records.get(head_key(b"a")).expect("reads").expect("is there");
    apply(&map, 2, &[(b"a", Some(bytes(2, 10)))]);
    let new = records.get(head_key(b"a")).expect("reads").expect("is there");
    drop((map, records));
    let changes: [(&str, Option<&[u8]>); 2] = [("are not those that it had", Some(&old)), ("has 1 records, and had 2", None)];
    for (says, head) in changes {
        let map = open(&path).expect("opens");
        let records = &map.library.records;
        head.map_or_else(|| records.remove(head_key(b"a")), |head| records.insert(head_key(b"a"), head)).expect("writes");
        drop(map);
        let error = open(&path).err().expect("it is damaged");
        assert!(error.is_corrupt() && error.to_string().contains(says), "{error:?}");
        let (db, again) = open_library(&path);
        again.insert(head_key(b"a"), new.clone()).expect("writes");
        drop((db, again));
    }
}

#[test]
fn records_and_commits_as_large_as_they_may_be_are_kept() {
    let folder = folder();
    let path = folder.path().join("store");
    let map = open(&path).expect("opens");
    let key = |n: usize| vec![b'a' + n as u8; LIMITS.key_bytes];
    let records: Vec<_> =
        (0..LIMITS.commit_bytes / LIMITS.record_bytes).map(|n| (key(n), bytes(n as u64, LIMITS.record_bytes))).collect();
    let changes: Vec<_> = records.iter().map(|(key, bytes)| (&key[..], Some(bytes.clone()))).collect();
    apply(&map, 1, &changes);
    drop(map);
    for _ in 0..2 {
        let map = open(&path).expect("opens");
        for (key, bytes) in &records {
            assert!(get(&map, key).as_ref() == Some(bytes), "{} is another", key[0]);
        }
        drop(map);
        move_to_tables(&path);
    }
}

#[test]
fn the_cache_is_as_large_as_it_was_set() {
    let folder = folder();
    assert_eq!(open(&folder.path().join("store")).expect("opens").library.db.cache_capacity(), CACHE);
}

/// What a power cut leaves of a commit that was being written.
#[test]
fn a_torn_commit_is_not_there() {
    let folder = folder();
    let (path, torn) = (folder.path().join("store"), folder.path().join("torn"));
    let (mark, journal) = ("metaparticle", "fjall/0.jnl");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    // From now on, the journal is no longer than what is in it.
    let map = open(&path).expect("opens");
    let old_mark = fs::read(path.join(mark)).expect("reads");
    let old_length = fs::read(path.join(journal)).expect("reads").len();
    apply(&map, 2, &[(b"a", Some(bytes(2, 3000))), (b"b", Some(bytes(2, 10)))]);
    drop(map);
    let content = fs::read(path.join(journal)).expect("reads");
    let open_torn = |content: &[u8]| {
        let _ = fs::remove_dir_all(&torn);
        copy(&path, &torn);
        fs::write(torn.join(mark), &old_mark).expect("writes");
        fs::write(torn.join(journal), content).expect("writes");
        open(&torn)
    };
    assert!(content.len() > old_length + 3000, "the commit is not in the journal");
    for cut in (old_length..content.len()).step_by(397) {
        // The file is shorter, or has room that was never written.
        for zeros in [0, content.len() - cut] {
            let map = open_torn(&[&content[..cut], &vec![0; zeros]].concat()).expect("opens");
            assert_eq!((get(&map, b"a"), get(&map, b"b")), (Some(bytes(1, 10)), None), "cut at {cut}");
            apply(&map, 2, &[(b"b", Some(bytes(3, 10)))]);
            drop(map);
            let map = open(&torn).expect("opens");
            assert_eq!((get(&map, b"a"), get(&map, b"b")), (Some(bytes(1, 10)), Some(bytes(3, 10))), "cut at {cut}");
        }
    }
    // A part of it was not written, and all around it was: in the middle of a value, and between the two lengths of one.
    for (hole, zeros) in [(1000, 0), (1000, 10_000), (13 + 17, 0)] {
        let mut content = [&content[..], &vec![0; zeros]].concat();
        content[old_length + hole..][..500].fill(0);
        let map = open_torn(&content).expect("opens");
        assert_eq!((get(&map, b"a"), get(&map, b"b")), (Some(bytes(1, 10)), None), "{hole}");
        // Without debug assertions, fjall discards what it cannot read on in.
        if hole == 1000 || cfg!(debug_assertions) {
            let aside: Vec<_> = fs::read_dir(torn.join("damaged")).expect("lists").collect();
            let kept = fs::read(aside[0].as_ref().expect("is there").path()).expect("reads");
            assert!(aside.len() == 1 && kept == content[old_length..content.len() - zeros], "it is not put aside as it was");
        }
        apply(&map, 2, &[(b"b", Some(bytes(3, 10)))]);
        drop(map);
        assert_eq!(get(&open(&torn).expect("opens"), b"b"), Some(bytes(3, 10)));
    }
}

/// A new store whose journal is no longer than what is in it, and that length.
fn open_new(path: &Path) -> (FolderMap<Fjall>, usize) {
    drop(open(path).expect("opens"));
    let map = open(path).expect("opens");
    (map, fs::read(path.join("fjall/0.jnl")).expect("reads").len())
}

/// Once something follows a batch, it was synced.
#[test]
fn a_hole_before_the_last_commit_is_an_error_and_left_alone() {
    // In a value, and in its length, which is behind the starts of batch and item, and which fjall takes no notice of without debug assertions.
    let holes = [1500..2000, 13 + 13..13 + 15];
    for hole in holes.into_iter().take(if cfg!(debug_assertions) { 2 } else { 1 }) {
        let folder = folder();
        let path = folder.path().join("store");
        let journal = path.join("fjall/0.jnl");
        let (map, length) = open_new(&path);
        apply(&map, 1, &[(b"a", Some(bytes(1, 3000)))]);
        apply(&map, 2, &[(b"a", Some(bytes(2, 10)))]);
        drop(map);
        let mut content = fs::read(&journal).expect("reads");
        content[length + hole.start..length + hole.end].fill(0);
        fs::write(&journal, &content).expect("writes");
        assert!(open(&path).err().expect("it is damaged").is_corrupt(), "{hole:?}");
        assert!(fs::read(&journal).expect("reads") == content, "{hole:?}: the journal was changed");
    }
}

/// fjall panics at it in programs with debug assertions, and once more as it unwinds, which would end this process.
#[cfg(debug_assertions)]
#[test]
fn a_journal_with_another_behind_it_that_is_damaged_is_an_error() {
    let folder = folder();
    let path = folder.path().join("store");
    let journal = path.join("fjall/0.jnl");
    let (map, length) = open_new(&path);
    apply(&map, 1, &[(b"a", Some(bytes(1, 3000)))]);
    drop(map);
    fs::write(path.join("fjall/1.jnl"), [0; 100]).expect("writes");
    let mut content = fs::read(&journal).expect("reads");
    content[length + 13 + 13] ^= 1;
    fs::write(&journal, &content).expect("writes");
    let error = open(&path).err().expect("it is damaged");
    assert!(error.is_corrupt() && error.to_string().contains("0.jnl"), "{error}");
    content[length + 13 + 13] ^= 1;
    fs::write(&journal, &content).expect("writes");
    assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 3000)));
}

/// Its threads keep its files open.
#[cfg(target_os = "linux")]
#[test]
fn the_threads_of_fjall_end_with_the_store() {
    let folder = folder();
    let path = folder.path().canonicalize().expect("is there").join("store");
    let open_files = || {
        let files = fs::read_dir("/proc/self/fd").expect("lists").filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        files.filter(|file| file.starts_with(&path)).count()
    };
    let map = open(&path).expect("opens");
    assert!(open_files() > 0);
    drop(map);
    let start = Instant::now();
    while open_files() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "files are still open");
        thread::yield_now();
    }
}
