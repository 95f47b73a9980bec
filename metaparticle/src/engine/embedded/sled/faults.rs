//! Openings that fail, and stores with any of their files damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::tests::{apply, bytes, copy, folder, get, open};
use crate::engine::embedded::map::OrderedMap;
use crate::error::ErrorKind;

#[test]
fn a_first_opening_that_left_half_a_file_is_begun_anew() {
    let folder = folder();
    let path = folder.path().join("store");
    drop(Folder::open(&path).expect("makes"));
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
    drop(Folder::open(&path).expect("makes"));
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

#[test]
fn an_emptied_mark_is_not_taken_for_a_new_store() {
    let folder = folder();
    let path = folder.path().join("store");
    apply(&open(&path).expect("opens"), 1, &[(b"a", Some(bytes(1, 10)))]);
    fs::write(path.join("metaparticle"), "").expect("writes");
    for _ in 0..2 {
        assert!(open(&path).err().expect("its mark is gone").is_corrupt());
    }
    assert_eq!(fs::metadata(path.join("metaparticle")).expect("is there").len(), 0, "something was overwritten");
}

fn files(path: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(path).expect("lists").map(|file| file.expect("a file").path());
    found.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Damages the first file; the second is the same of another store.
type Damage = fn(&Path, &Path);

#[test]
fn any_damaged_file_is_an_error_that_names_the_store_or_has_no_effect() {
    let folder = folder();
    let stores = ["a store with späces", "other"].map(|name| folder.path().join(name));
    let (path, damaged) = (&stores[0], folder.path().join("damaged"));
    let records = [(&b"large"[..], bytes(1, 30_000)), (b"small", bytes(2, 10))];
    for (n, path) in stores.iter().enumerate() {
        for (commit, (key, bytes)) in (1..).zip(records.iter().skip(n)) {
            apply(&open(path).expect("opens"), commit, &[(key, Some(bytes.clone()))]);
        }
    }
    let damages: [(&str, Damage); 6] = [
        ("deleted", |file, _| fs::remove_file(file).expect("removes")),
        ("emptied", |file, _| fs::write(file, "").expect("writes")),
        ("halved", |file, _| cut(file, |length| length / 2)),
        ("cut", |file, _| cut(file, |length| length.saturating_sub(1))),
        ("of another store", |file, other| drop(fs::copy(other, file))),
        ("rubbish", |file, _| fs::write(file, [0xa5; 999]).expect("writes")),
    ];
    for file in files(path) {
        let file = file.strip_prefix(path).expect("is below");
        for (what, damage) in damages {
            let _ = fs::remove_dir_all(&damaged);
            copy(path, &damaged);
            damage(&damaged.join(file), &stores[1].join(file));
            let map = match open(&damaged) {
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
