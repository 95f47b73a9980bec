//! What becomes of sled's snapshots, of the pieces of records, and of first openings that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::entry::head_key;
use super::super::folder::Folder;
use super::super::folder_map::FolderMap;
use super::super::folder_tests::{CACHE, apply, bytes, folder, get};
use super::super::guard::LibraryError;
use super::super::map::OrderedMap;
use super::super::recovery::ALWAYS_VERIFIED;
use super::Sled;
use super::files::finish_snapshots;
use crate::engine::{KeyRange, RecordKey};
use crate::error::{ErrorKind, Result};
use crate::sync::Mutex;

fn open(path: &Path) -> Result<FolderMap<Sled>> {
    super::open(path, CACHE)
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
    assert_eq!(map.library.tree.iter().count(), 1, "only the state is left");
}

#[test]
fn a_disk_that_fails_is_told_from_damage_also_in_a_clone_of_the_error() {
    let full = ::sled::Error::Io(io::Error::from_raw_os_error(28));
    assert_eq!(full.kind(), Some(ErrorKind::Engine));
    assert_eq!(full.clone().kind(), Some(ErrorKind::Engine));
    assert_eq!(full.clone().clone().kind(), Some(ErrorKind::Engine));
    assert_eq!(::sled::Error::Io(io::Error::other("too short")).kind(), None);
}

fn snapshots(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path.join("sled")).expect("lists").map(|file| file.expect("a file").path());
    files.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap."))).collect()
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
fn a_snapshot_whose_name_a_power_cut_has_taken_is_given_it_back() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    drop(open(&path).expect("opens"));
    let [snapshot] = &snapshots(&path)[..] else { panic!("sled has written no snapshot") };
    let content = fs::read(snapshot).expect("reads");
    fs::rename(snapshot, format!("{}.generating", snapshot.display())).expect("renames");
    fs::write(path.join("sled/snap.0000000000000001.generating"), &content[..content.len() - 1]).expect("writes");
    finish_snapshots(&Folder::open(&path, "sled").expect("opens")).expect("finishes");
    assert_eq!(snapshots(&path), std::slice::from_ref(snapshot));
    assert!(fs::read(snapshot).expect("reads") == content);
    assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
}

#[test]
fn a_damaged_snapshot_is_put_aside() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    drop(open(&path).expect("opens"));
    let snapshots = snapshots(&path);
    assert!(!snapshots.is_empty(), "sled has written no snapshot");
    for snapshot in &snapshots {
        let mut content = fs::read(snapshot).expect("reads");
        content.iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(snapshot, content).expect("writes");
    }
    assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
    assert_eq!(fs::read_dir(path.join("damaged")).expect("lists").count(), snapshots.len());
}

#[test]
fn a_store_opens_with_a_cache_of_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    drop(open(&path).expect("opens"));
    assert!(!snapshots(&path).is_empty(), "sled has written no snapshot");
    for cache_bytes in [0, 1, 255] {
        assert_eq!(get(&super::open(&path, cache_bytes).expect("opens"), b"a"), Some(bytes(1, 10)));
    }
    assert!(!path.join("damaged").exists(), "something was taken for damaged");
}

#[test]
fn a_first_opening_that_left_half_a_file_is_begun_anew() {
    let folder = folder();
    let path = folder.path().join("store");
    drop(Folder::open(&path, "sled").expect("makes"));
    fs::create_dir(path.join("sled")).expect("makes");
    fs::write(path.join("sled/conf"), "half of it").expect("writes");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    assert_eq!(get(&open(&path).expect("opens"), b"a"), Some(bytes(1, 10)));
}

#[cfg(unix)]
#[test]
fn a_first_opening_that_failed_may_be_repeated() {
    let folder = folder();
    let path = folder.path().join("store");
    drop(Folder::open(&path, "sled").expect("makes"));
    fs::create_dir(path.join("sled")).expect("makes");
    // A file that cannot be opened, and so not be synced, not even by root.
    let socket = path.join("sled/socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("binds");
    let error = open(&path).err().expect("it cannot be made to last");
    assert!(error.kind() == ErrorKind::Engine && error.to_string().contains("store"), "{error:?}");
    fs::remove_file(socket).expect("removes");
    // Without sled's files, as a first opening leaves them if it cannot write.
    fs::remove_dir_all(path.join("sled")).expect("removes");
    assert_eq!(open(&path).expect("opens").last_commit(), 0);
}

/// The beginnings of all segments: each has a number that is not used again.
fn begun_segments(path: &Path) -> Vec<Vec<u8>> {
    let file = fs::File::open(path.join("sled/db")).expect("opens");
    let segments = file.metadata().expect("is there").len().div_ceil(512 << 10);
    let begin = |segment: u64| {
        let mut begin = Vec::new();
        (&file).seek(io::SeekFrom::Start(segment * (512 << 10))).expect("seeks");
        (&file).take(20).read_to_end(&mut begin).expect("reads");
        begin
    };
    (0..segments).map(begin).collect()
}

/// What sled has begun, as it is looked at just before each sync.
#[derive(Default)]
pub(super) struct Begun(Mutex<BegunSegments>);

#[derive(Default)]
struct BegunSegments {
    at_last_sync: Vec<Vec<u8>>,
    most: usize,
    all: usize,
}

impl Begun {
    pub(super) fn note(&self, path: &Path) {
        let begun = &mut *self.0.lock();
        let now = begun_segments(path);
        // sled shortens its file in several threads, and so also makes it longer again, with segments of zeros that nobody has begun.
        let is_begun = |n: &usize| begun.at_last_sync.get(*n) != Some(&now[*n]) && now[*n].iter().any(|byte| *byte != 0);
        let changed = (0..now.len()).filter(is_begun).count();
        begun.most = begun.most.max(changed);
        begun.all += changed;
        begun.at_last_sync = now;
    }
}

/// Applies groups one after the other, and looks at what is begun between two syncs.
fn begins_one_segment_at_a_time(groups: impl IntoIterator<Item = Changes>) -> (FolderMap<Sled>, TempDir) {
    let folder = folder();
    let map = open(&folder.path().join("store")).expect("opens");
    for (commit, changes) in (1..).zip(groups) {
        let changes: Vec<_> =
            changes.iter().map(|(key, length)| (&key[..], length.map(|length| bytes(commit, length)))).collect();
        apply(&map, commit, &changes);
        let most = map.library.begun.0.lock().most;
        assert!(most <= 1, "{most} segments were begun between two syncs at commit {commit}");
    }
    let all = map.library.begun.0.lock().all;
    assert!(all > 5, "only {all} segments were begun");
    (map, folder)
}

/// Keys, with the length of what is stored, if it is not removed.
type Changes = BTreeMap<[u8; 8], Option<usize>>;

fn changes(keys: impl IntoIterator<Item = u64>, length: Option<usize>) -> Changes {
    keys.into_iter().map(|key| (key.to_be_bytes(), length)).collect()
}

#[test]
fn between_two_syncs_no_two_segments_are_begun() {
    let mut random = fastrand::Rng::with_seed(1);
    // Of one piece each, in leaves that are soon full of such: what sled writes most for.
    begins_one_segment_at_a_time((0..80).map(|_| changes((0..60).map(|_| random.u64(..200)), Some(3_900))));
}

#[test]
fn between_two_syncs_no_two_segments_are_begun_by_removals() {
    let inserted = (0..200).map(|n| changes(n * 3..n * 3 + 3, Some(3_900)));
    begins_one_segment_at_a_time(inserted.chain([changes(0..550, None)]));
}

#[test]
fn between_two_syncs_no_two_segments_are_begun_by_large_records() {
    let mut random = fastrand::Rng::with_seed(1);
    let changed = (0..100).map(|_| changes([random.u64(..50)], Some(128 << 10)));
    begins_one_segment_at_a_time(changed.chain([changes(0..50, None)]));
}

#[test]
fn between_two_syncs_no_two_segments_are_begun_by_small_records_among_large_ones() {
    let mut random = fastrand::Rng::with_seed(1);
    let large = (0..200).map(|n| changes((n * 3..n * 3 + 3).map(|n| n * 2), Some(3_900)));
    let large: Vec<_> = large.collect();
    begins_one_segment_at_a_time(
        large.into_iter().chain((0..100).map(|_| changes((0..100).map(|_| random.u64(..600) * 2 + 1), Some(50)))),
    );
}

/// sled splits and merges leaves when they are come to.
#[test]
fn reading_has_nothing_to_write() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut keys = BTreeSet::new();
    let mut inserted: Vec<_> = (0..60).map(|_| changes((0..100).map(|_| random.u64(..)), Some(900))).collect();
    inserted.iter().for_each(|changes| keys.extend(changes.keys().copied().map(u64::from_be_bytes)));
    inserted.extend((0..3).map(|n| changes(keys.iter().copied().skip(n * 2_000).take(1_000), None)));
    let opened = begins_one_segment_at_a_time(inserted);
    let range = KeyRange { start: RecordKey::new([]), end: RecordKey::new([0xff; 9]) };
    let map = &opened.0;
    let found = map.range(&range, usize::MAX, &|_| true).expect("reads").len();
    assert_eq!((found, map.library.tree.flush().expect("flushes")), (3_000, 0));
}

#[test]
fn a_damaged_record_does_not_keep_the_others_from_being_read() {
    let folder = folder();
    let path = folder.path().join("store");
    let map = open(&path).expect("opens");
    apply(&map, 1, &[(b"a", Some(bytes(1, 10))), (b"b", Some(bytes(2, 10)))]);
    let head = head_key(b"a");
    let mut value = map.library.tree.get(&head).expect("reads").expect("is there").to_vec();
    // Of its checksum, which the digest of all records is made of.
    value[0] ^= 1;
    map.library.tree.insert(head, value).expect("writes");
    drop(map);
    let map = open(&path).expect("the others are there");
    assert!(map.get(b"a").expect_err("it is damaged").is_corrupt());
    assert_eq!(get(&map, b"b"), Some(bytes(2, 10)));
}

#[test]
fn a_record_put_back_to_an_older_state_is_recognised() {
    let folder = folder();
    let path = folder.path().join("store");
    let map = open(&path).expect("opens");
    apply(&map, 1, &[(b"a", Some(bytes(1, 10)))]);
    let older = map.library.tree.get(head_key(b"a")).expect("reads").expect("is there");
    apply(&map, 2, &[(b"a", Some(bytes(2, 10)))]);
    map.library.tree.insert(head_key(b"a"), older).expect("writes");
    drop(map);
    let error = open(&path).err().expect("a change is gone");
    assert!(error.is_corrupt() && error.to_string().contains("not those that it had"), "{error:?}");
}

/// It could have lost something in the opening that was cut short.
#[test]
fn after_an_opening_that_was_cut_short_a_large_store_is_read_through() {
    let folder = folder();
    let path = folder.path().join("store");
    let map = open(&path).expect("opens");
    let keys: Vec<_> = (0..=ALWAYS_VERIFIED).map(u64::to_be_bytes).collect();
    apply(&map, 1, &keys.iter().map(|key| (&key[..], Some(bytes(1, 10)))).collect::<Vec<_>>());
    map.library.tree.remove(head_key(&keys[7])).expect("removes");
    drop(map);
    drop(open(&path).expect("one that was closed is not read through"));
    drop(Folder::open(&path, "sled").expect("begins to open"));
    let error = open(&path).err().expect("a record is gone");
    assert!(error.is_corrupt() && error.to_string().contains("it has 100 records, and had 101"), "{error:?}");
}
