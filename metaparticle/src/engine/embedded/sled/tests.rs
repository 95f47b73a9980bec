//! What becomes of a store that is closed, shared, moved, cut or damaged.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::super::Embedded;
use super::super::map::{Group, Log, OrderedMap};
use super::super::tests::wait;
use super::SledMap;
use crate::durability::Durability;
use crate::engine::{Answer, CommitId, Engine, KeyRange, Record, RecordKey, Request, Seen, Version, Write};
use crate::error::{ErrorKind, Result};
use crate::sync::{AtomicU64, Ordering, thread};

const CACHE: u64 = 1 << 20;

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub(super) fn open(path: &Path) -> Result<SledMap> {
    SledMap::open(path, CACHE)
}

pub(super) fn bytes(n: u64, length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u64 * 31 + n) as u8).collect()
}

/// Applies one commit; `None` removes.
pub(super) fn apply(map: &SledMap, commit: u64, changes: &[(&[u8], Option<Vec<u8>>)]) {
    let change = |(key, bytes): &(&[u8], Option<Vec<u8>>)| {
        let record = bytes.clone().map(|bytes| Record { version: Version::new(commit.into()), bytes: bytes.into() });
        (RecordKey::new(*key), record)
    };
    map.apply(&Group { changes: changes.iter().map(change).collect(), last_commit: commit }).expect("applies");
}

pub(super) fn get(map: &SledMap, key: &[u8]) -> Option<Vec<u8>> {
    map.get(key).expect("reads").map(|record| record.bytes.to_vec())
}

fn keys(map: &SledMap, start: &[u8], end: &[u8]) -> Vec<Vec<u8>> {
    let range = KeyRange { start: RecordKey::new(start), end: RecordKey::new(end) };
    map.range(&range, 1000, &|_| false).expect("reads").into_iter().map(|(key, _)| key.to_vec()).collect()
}

#[test]
fn what_was_applied_is_there_after_reopening() {
    let folder = folder();
    let path = folder.path().join("store");
    for commit in 1..=20 {
        // Opened again right after it was dropped.
        let map = open(&path).expect("opens");
        assert_eq!(map.last_commit(), commit - 1);
        apply(&map, commit, &[(b"a", Some(bytes(commit, 9000))), (format!("k{commit}").as_bytes(), Some(bytes(commit, 10)))]);
    }
    let map = open(&path).expect("opens");
    assert_eq!(get(&map, b"a"), Some(bytes(20, 9000)));
    assert_eq!(keys(&map, b"k", b"l").len(), 20);
}

#[test]
fn a_record_that_shrinks_or_goes_leaves_no_pieces() {
    let folder = folder();
    let map = open(&folder.path().join("store")).expect("opens");
    for (commit, length) in [100_000, 50_000, 4_000, 0, 60_000].into_iter().enumerate() {
        apply(&map, commit as u64 + 1, &[(b"a", Some(bytes(1, length)))]);
        assert_eq!(get(&map, b"a"), Some(bytes(1, length)));
    }
    apply(&map, 6, &[(b"a", None)]);
    assert_eq!(get(&map, b"a"), None);
    assert_eq!(map.tree.iter().count(), 1, "only the state is left");
}

/// A log whose map has to follow at once.
struct NoLog;

impl Log for NoLog {
    fn append(&mut self, _group: &Group) -> Result<()> {
        Ok(())
    }

    fn release(&mut self, _commit: u64) -> Result<()> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        16 << 20
    }
}

/// A record in several pieces is never joined from two states of it.
#[test]
fn a_scan_beside_the_flusher_reads_whole_records() {
    let folder = folder();
    let map = open(&folder.path().join("store")).expect("opens");
    let engine = Embedded::over(Arc::new(map), |_| Ok(NoLog), 0, Duration::from_millis(1)).expect("starts");
    let range = KeyRange { start: RecordKey::new(*b"a"), end: RecordKey::new(*b"z") };
    let write = |key: u8, round: u64| {
        let bytes = vec![round as u8; 10_000 + (round as usize * 7919) % 50_000];
        let write = [Write { key: RecordKey::new([b'a' + key]), bytes: Some(bytes.into()) }];
        let durability = Durability::Eventual;
        wait(engine.execute(Request { compare: Seen::NOTHING, read: &[], write: &write, id: CommitId(1), durability }))
    };
    let writers = AtomicU64::new(2);
    thread::scope(|scope| {
        for writer in 0..2u8 {
            let (write, writers) = (&write, &writers);
            scope.spawn(move || {
                let written: Result<Vec<_>> = (0..200).map(|round| write(writer * 4 + round as u8 % 4, round)).collect();
                writers.fetch_sub(1, Ordering::Release);
                written.expect("commits");
            });
        }
        while writers.load(Ordering::Acquire) > 0 {
            let Answer::Ready(page) = engine.scan(Seen::NOTHING, &range, 100) else { panic!("a scan is ready at once") };
            for (key, record) in page.expect("a scan met a record that is being written").records {
                assert!(*record.bytes == vec![record.bytes[0]; record.bytes.len()], "{key:?} is a mixture");
            }
        }
    });
}

#[test]
fn a_second_opening_is_refused() {
    let folder = folder();
    let path = folder.path().join("store");
    let _map = open(&path).expect("opens");
    let error = open(&path).err().expect("it is in use");
    assert!(error.kind() == ErrorKind::InUse && error.is_retryable(), "{error:?}");
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let folder = folder();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").expect("writes");
    for path in [&file, folder.path()] {
        let error = open(path).err().expect("it is not ours");
        assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("notes.txt"), "{error:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1, "something was added");
}

type Loss = fn(&Path);

#[test]
fn a_store_that_has_lost_its_files_is_recognised() {
    let lose: [(&str, Loss); 3] = [
        ("all", |path| fs::remove_dir_all(path.join("sled")).expect("removes")),
        ("data", |path| fs::remove_file(path.join("sled/db")).expect("removes")),
        ("cut", |path| fs::OpenOptions::new().write(true).open(path.join("sled/db")).and_then(|db| db.set_len(0)).expect("cuts")),
    ];
    for (what, lose) in lose {
        let folder = folder();
        let path = folder.path().join("store");
        apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
        lose(&path);
        let error = open(&path).err().unwrap_or_else(|| panic!("{what}: a store that has lost everything was opened"));
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Engine), "{what}: {error:?}");
        assert!(open(&path).is_err(), "{what}: the second opening went through");
    }
}

#[test]
fn a_store_put_back_to_an_older_state_is_recognised() {
    let folder = folder();
    let (path, old) = (folder.path().join("store"), folder.path().join("old"));
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    copy(&path.join("sled"), &old);
    apply(&open(&path).expect("opens"), 2, &[(b"a", Some(bytes(2, 10)))]);
    fs::remove_dir_all(path.join("sled")).expect("removes");
    copy(&old, &path.join("sled"));
    let error = open(&path).err().expect("it has lost a commit");
    assert!(error.is_corrupt() && error.to_string().contains("number 1, and it had 2"), "{error:?}");
}

#[test]
fn another_stores_files_are_recognised() {
    let folder = folder();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for path in [&one, &other] {
        apply(&open(path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    }
    fs::remove_dir_all(one.join("sled")).expect("removes");
    copy(&other.join("sled"), &one.join("sled"));
    assert!(open(&one).err().expect("they are another's").to_string().contains("another store"));
}

#[test]
fn a_snapshot_that_was_cut_short_does_not_matter() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    fs::write(path.join("sled/snap.0000000000000100.generating"), "half").expect("writes");
    assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
}

#[test]
fn a_damaged_snapshot_is_put_aside() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    drop(open(&path).expect("opens"));
    let snapshots: Vec<_> = fs::read_dir(path.join("sled"))
        .expect("lists")
        .map(|file| file.expect("a file").path())
        .filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")))
        .collect();
    assert!(!snapshots.is_empty(), "sled has written no snapshot");
    for snapshot in &snapshots {
        let mut content = fs::read(snapshot).expect("reads");
        content.iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(snapshot, content).expect("writes");
    }
    assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
    assert_eq!(fs::read_dir(path.join("damaged")).expect("lists").count(), snapshots.len());
}

#[cfg(unix)]
#[test]
fn a_new_store_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("deep/store");
    drop(open(&path).expect("opens"));
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o700);
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for file in fs::read_dir(from).expect("lists").map(|file| file.expect("a file")) {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).expect("copies");
        }
    }
}

/// Nothing may be wrong without an error: neither a value nor that a key is there.
#[test]
fn a_flipped_bit_is_an_error_or_has_no_effect() {
    let folder = folder();
    let (path, damaged) = (folder.path().join("store"), folder.path().join("damaged"));
    let key = |n: u64| format!("key{n:03}").into_bytes();
    let records: Vec<(Vec<u8>, Vec<u8>)> = (0..60).map(|n| (key(n), bytes(n, 50 + 150 * n as usize))).collect();
    for (commit, (key, bytes)) in records.iter().enumerate() {
        apply(&open(&path).expect("opens"), commit as u64 + 1, &[(key, Some(bytes.clone()))]);
    }
    let mut random = fastrand::Rng::with_seed(2);
    let size = fs::metadata(path.join("sled/db")).expect("is there").len() as usize;
    let (mut errors, mut right) = (0, 0);
    for _ in 0..150 {
        let _ = fs::remove_dir_all(&damaged);
        copy(&path, &damaged);
        let mut content = fs::read(damaged.join("sled/db")).expect("reads");
        content[random.usize(..size)] ^= 1 << random.u32(..8);
        fs::write(damaged.join("sled/db"), content).expect("writes");
        let Ok(map) = open(&damaged) else {
            errors += 1;
            continue;
        };
        let mut whole = true;
        for (key, bytes) in &records {
            match map.get(key) {
                Ok(record) => assert_eq!(record.map(|record| record.bytes.to_vec()).as_ref(), Some(bytes), "a wrong value"),
                Err(error) => {
                    assert!(error.is_corrupt(), "{error:?}");
                    whole = false;
                }
            }
        }
        if whole { right += 1 } else { errors += 1 }
    }
    assert!(errors > 0 && right > 0, "{errors} errors, {right} without effect");
}
