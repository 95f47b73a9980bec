//! What becomes of a store in a folder that is closed, shared, moved, cut or damaged, whatever library keeps its records.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tempfile::TempDir;

use super::Embedded;
use super::map::{Group, Log, OrderedMap};
use super::tests::wait;
use crate::durability::Durability;
use crate::engine::{Answer, CommitId, Engine, KeyRange, Record, RecordKey, Request, Seen, Version, Write};
use crate::error::{ErrorKind, Result};
use crate::sync::{AtomicU64, Ordering, thread};

pub(super) const CACHE: u64 = 1 << 20;

/// A library that keeps records.
struct Library {
    name: &'static str,
    open: fn(&Path) -> Result<Arc<dyn OrderedMap>>,
    /// Makes the files of a closed store what they are after a while.
    settle: fn(&Path),
}

impl Library {
    fn open(&self, path: &Path) -> Result<Arc<dyn OrderedMap>> {
        (self.open)(path)
    }

    /// Its files in the store at `path`.
    fn files(&self, path: &Path) -> PathBuf {
        path.join(self.name)
    }
}

#[cfg(feature = "sled")]
const SLED: Library = Library { name: "sled", open: |path| Ok(Arc::new(super::sled::open(path, CACHE)?)), settle: |_| {} };
#[cfg(feature = "fjall")]
const FJALL: Library = Library { name: "fjall", open: |path| Ok(Arc::new(super::fjall::open(path, CACHE)?)), settle: |_| {} };
/// Its records in tables, and its journal empty.
#[cfg(feature = "fjall")]
const FJALL_IN_TABLES: Library = Library { settle: super::fjall::tests::move_to_tables, ..FJALL };

const LIBRARIES: &[Library] = &[
    #[cfg(feature = "sled")]
    SLED,
    #[cfg(feature = "fjall")]
    FJALL,
];

/// Makes of each function a test with every library.
macro_rules! with_every_library {
    ($($name:ident)*) => {
        #[cfg(feature = "sled")]
        mod with_sled {
            $(#[test] fn $name() { super::$name(&super::SLED); })*
        }
        #[cfg(feature = "fjall")]
        mod with_fjall {
            $(#[test] fn $name() { super::$name(&super::FJALL); })*
        }
        #[cfg(feature = "fjall")]
        mod with_fjall_in_tables {
            $(#[test] fn $name() { super::$name(&super::FJALL_IN_TABLES); })*
        }
    };
}

with_every_library! {
    what_was_applied_is_there_after_reopening
    a_scan_beside_the_flusher_reads_whole_records
    a_store_opens_again_after_a_waker_that_panics
    a_second_opening_is_refused
    what_is_not_a_store_is_refused_and_left_alone
    a_store_of_another_library_is_refused_and_left_alone
    a_store_that_has_lost_its_files_is_recognised
    a_store_put_back_to_an_older_state_is_recognised
    another_stores_files_are_recognised
    an_emptied_mark_is_not_taken_for_a_new_store
    a_new_store_is_for_its_owner_only
    a_flipped_bit_is_an_error_or_has_no_effect
    any_damaged_file_is_an_error_that_names_the_store_or_has_no_effect
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub(super) fn bytes(n: u64, length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u64 * 31 + n) as u8).collect()
}

/// Applies one commit; `None` removes.
pub(super) fn apply(map: &dyn OrderedMap, commit: u64, changes: &[(&[u8], Option<Vec<u8>>)]) {
    let change = |(key, bytes): &(&[u8], Option<Vec<u8>>)| {
        let record = bytes.clone().map(|bytes| Record { version: Version::new(commit.into()), bytes: bytes.into() });
        (RecordKey::new(*key), record)
    };
    map.apply(&Group { changes: changes.iter().map(change).collect(), last_commit: commit }).expect("applies");
}

pub(super) fn get(map: &dyn OrderedMap, key: &[u8]) -> Option<Vec<u8>> {
    map.get(key).expect("reads").map(|record| record.bytes.to_vec())
}

fn keys(map: &dyn OrderedMap, start: &[u8], end: &[u8]) -> Vec<Vec<u8>> {
    let range = KeyRange { start: RecordKey::new(start), end: RecordKey::new(end) };
    map.range(&range, 1000, &|_| false).expect("reads").into_iter().map(|(key, _)| key.to_vec()).collect()
}

fn what_was_applied_is_there_after_reopening(library: &Library) {
    let folder = folder();
    let path = folder.path().join("store");
    for commit in 1..=20 {
        // Opened again right after it was dropped.
        let map = library.open(&path).expect("opens");
        assert_eq!(map.last_commit(), commit - 1);
        apply(&*map, commit, &[(b"a", Some(bytes(commit, 9000))), (format!("k{commit}").as_bytes(), Some(bytes(commit, 10)))]);
    }
    let map = library.open(&path).expect("opens");
    assert_eq!(get(&*map, b"a"), Some(bytes(20, 9000)));
    assert_eq!(keys(&*map, b"k", b"l").len(), 20);
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
fn a_scan_beside_the_flusher_reads_whole_records(library: &Library) {
    let folder = folder();
    let map = library.open(&folder.path().join("store")).expect("opens");
    let engine = Embedded::over(map, |_| Ok(NoLog), 0, Duration::from_millis(1)).expect("starts");
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

/// A waker is code of the user's, on the thread that writes.
fn a_store_opens_again_after_a_waker_that_panics(library: &Library) {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of the user's");
        }
    }
    let folder = folder();
    let path = folder.path().join("store");
    let hour = Duration::from_secs(3600);
    let engine = Embedded::over(library.open(&path).expect("opens"), |_| Ok(NoLog), 0, hour).expect("starts");
    let write = [Write { key: RecordKey::new(*b"a"), bytes: Some(bytes(1, 10).into()) }];
    let request =
        Request { compare: Seen::NOTHING, read: &[], write: &write, id: CommitId(1), durability: Durability::Immediate };
    let reply = wait(engine.execute(request)).expect("commits");
    let waker = Waker::from(Arc::new(Panics));
    // It is written because somebody waits for it.
    assert!(engine.shared.queue.poll_durable(reply.durable_at.0, &mut Context::from_waker(&waker)).is_pending());
    drop(engine);
    assert_eq!(get(&*library.open(&path).expect("opens again"), b"a"), Some(bytes(1, 10)));
}

fn a_second_opening_is_refused(library: &Library) {
    let folder = folder();
    let path = folder.path().join("store");
    let _map = library.open(&path).expect("opens");
    let error = library.open(&path).err().expect("it is in use");
    assert!(error.kind() == ErrorKind::InUse && error.is_retryable(), "{error:?}");
}

fn what_is_not_a_store_is_refused_and_left_alone(library: &Library) {
    let folder = folder();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").expect("writes");
    for path in [&file, folder.path()] {
        let error = library.open(path).err().expect("it is not ours");
        assert!(error.kind() == ErrorKind::Setup && error.to_string().contains("notes.txt"), "{error:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1, "something was added");
}

fn a_store_of_another_library_is_refused_and_left_alone(library: &Library) {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&*library.open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    let before = file_names(&path);
    for other in LIBRARIES.iter().filter(|other| other.name != library.name) {
        let error = other.open(&path).err().expect("it is not one of its own");
        let hint = format!("open it as `{}:{}`", library.name, path.display());
        assert!(error.kind() == ErrorKind::Setup && error.to_string().contains(&hint), "{error:?}");
    }
    assert_eq!(file_names(&path), before);
    assert_eq!(get(&*library.open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
}

/// Makes a library's files lose something.
type Loss = fn(&Path);

fn a_store_that_has_lost_its_files_is_recognised(library: &Library) {
    let lose: [(&str, Loss); 3] = [
        ("all", |files| fs::remove_dir_all(files).expect("removes")),
        ("data", |files| file_names(files).iter().for_each(|file| fs::remove_file(file).expect("removes"))),
        ("cut", |files| file_names(files).iter().for_each(|file| cut(file, |_| 0))),
    ];
    for (what, lose) in lose {
        let folder = folder();
        let path = folder.path().join("store");
        apply(&*library.open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
        (library.settle)(&path);
        lose(&library.files(&path));
        let error = library.open(&path).err().unwrap_or_else(|| panic!("{what}: a store that has lost everything was opened"));
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Engine), "{what}: {error:?}");
        assert!(library.open(&path).is_err(), "{what}: the second opening went through");
    }
}

fn a_store_put_back_to_an_older_state_is_recognised(library: &Library) {
    let folder = folder();
    let (path, old) = (folder.path().join("store"), folder.path().join("old"));
    apply(&*library.open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    copy(&library.files(&path), &old);
    apply(&*library.open(&path).expect("opens"), 2, &[(b"a", Some(bytes(2, 10)))]);
    fs::remove_dir_all(library.files(&path)).expect("removes");
    copy(&old, &library.files(&path));
    let error = library.open(&path).err().expect("it has lost a commit");
    assert!(error.is_corrupt() && error.to_string().contains("number 1, and it had 2"), "{error:?}");
}

fn another_stores_files_are_recognised(library: &Library) {
    let folder = folder();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for path in [&one, &other] {
        apply(&*library.open(path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    }
    fs::remove_dir_all(library.files(&one)).expect("removes");
    copy(&library.files(&other), &library.files(&one));
    assert!(library.open(&one).err().expect("they are another's").to_string().contains("another store"));
}

fn a_new_store_is_for_its_owner_only(library: &Library) {
    let folder = folder();
    let path = folder.path().join("deep/store");
    drop(library.open(&path).expect("opens"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o700);
    }
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
fn a_flipped_bit_is_an_error_or_has_no_effect(library: &Library) {
    let folder = folder();
    let (path, damaged) = (folder.path().join("store"), folder.path().join("damaged"));
    let key = |n: u64| format!("key{n:03}").into_bytes();
    let records: Vec<(Vec<u8>, Vec<u8>)> = (0..60).map(|n| (key(n), bytes(n, 50 + 150 * n as usize))).collect();
    for (commit, (key, bytes)) in records.iter().enumerate() {
        apply(&*library.open(&path).expect("opens"), commit as u64 + 1, &[(key, Some(bytes.clone()))]);
    }
    (library.settle)(&path);
    let mut random = fastrand::Rng::with_seed(2);
    let mut files = file_names(&library.files(&path));
    files.sort();
    let mut errors = 0;
    for round in 0..150 {
        let _ = fs::remove_dir_all(&damaged);
        copy(&path, &damaged);
        // The first one is whole: a copy is as good as the store.
        if round > 0 {
            flip_a_bit(&mut random, &files, |file| damaged.join(file.strip_prefix(&path).expect("is below")));
        }
        let Ok(map) = library.open(&damaged) else {
            assert!(round > 0, "what was not damaged cannot be opened");
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
        errors += usize::from(!whole);
        assert!(round > 0 || whole, "what was not damaged is an error");
    }
    assert!(errors > 0, "no flip had an effect");
}

/// Flips a bit in one of the files, which are as likely as they are large.
fn flip_a_bit(random: &mut fastrand::Rng, files: &[PathBuf], copy_of: impl Fn(&Path) -> PathBuf) {
    let size = |file: &PathBuf| fs::metadata(file).expect("is there").len() as usize;
    let mut at = random.usize(..files.iter().map(size).sum::<usize>());
    for file in files {
        if at < size(file) {
            let mut content = fs::read(copy_of(file)).expect("reads");
            content[at] ^= 1 << random.u32(..8);
            return fs::write(copy_of(file), content).expect("writes");
        }
        at -= size(file);
    }
}

fn an_emptied_mark_is_not_taken_for_a_new_store(library: &Library) {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&*library.open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    fs::write(path.join("metaparticle"), "").expect("writes");
    for _ in 0..2 {
        assert!(library.open(&path).err().expect("its mark is gone").is_corrupt());
    }
    assert_eq!(fs::metadata(path.join("metaparticle")).expect("is there").len(), 0, "something was overwritten");
}

/// All files below a folder.
fn file_names(path: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(path).expect("lists").map(|file| file.expect("a file").path());
    found.flat_map(|path| if path.is_dir() { file_names(&path) } else { vec![path] }).collect()
}

/// Damages the first file; the second is the same of another store.
type Damage = fn(&Path, &Path);

fn any_damaged_file_is_an_error_that_names_the_store_or_has_no_effect(library: &Library) {
    let folder = folder();
    let stores = ["a store with späces", "other"].map(|name| folder.path().join(name));
    let (path, damaged) = (&stores[0], folder.path().join("damaged"));
    let records = [(&b"large"[..], bytes(1, 30_000)), (b"small", bytes(2, 10))];
    for (n, path) in stores.iter().enumerate() {
        for (commit, (key, bytes)) in (1..).zip(records.iter().skip(n)) {
            apply(&*library.open(path).expect("opens"), commit, &[(key, Some(bytes.clone()))]);
        }
        (library.settle)(path);
    }
    let damages: [(&str, Damage); 6] = [
        ("deleted", |file, _| fs::remove_file(file).expect("removes")),
        ("emptied", |file, _| fs::write(file, "").expect("writes")),
        ("halved", |file, _| cut(file, |length| length / 2)),
        ("cut", |file, _| cut(file, |length| length.saturating_sub(1))),
        ("of another store", |file, other| drop(fs::copy(other, file))),
        ("rubbish", |file, _| fs::write(file, [0xa5; 999]).expect("writes")),
    ];
    for file in file_names(path) {
        let file = file.strip_prefix(path).expect("is below");
        for (what, damage) in damages {
            let _ = fs::remove_dir_all(&damaged);
            copy(path, &damaged);
            damage(&damaged.join(file), &stores[1].join(file));
            let map = match library.open(&damaged) {
                Ok(map) => map,
                Err(error) => {
                    assert!(error.to_string().contains("damaged"), "{file:?} {what}: {error:?}");
                    continue;
                }
            };
            for (key, bytes) in &records {
                match map.get(key) {
                    Ok(record) => assert_eq!(record.map(|record| record.bytes.to_vec()).as_ref(), Some(bytes), "{file:?} {what}"),
                    Err(error) => assert!(error.is_corrupt(), "{file:?} {what}: {error:?}"),
                }
            }
        }
    }
}

fn cut(file: &Path, length: impl Fn(u64) -> u64) {
    let opened = fs::OpenOptions::new().write(true).open(file).expect("opens");
    opened.set_len(length(opened.metadata().expect("is there").len())).expect("cuts");
}
