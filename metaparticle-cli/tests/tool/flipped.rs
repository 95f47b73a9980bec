//! Bytes changed on the disk: `check` finds the record, or the store is refused; never a panic, never another value.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use metaparticle_tests::copy_folder;

use super::support::{beside, done, filled, records, run, text};

const KEY: &[u8] = b"\x01\x02Account\0\x02ann\0";

const PATIENCE: Duration = Duration::from_secs(30);

/// Changes one value inside of sled, past metaparticle.
fn change(path: &str, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
    let db = sled(path);
    let mut value = db.get(key).expect("sled reads").expect("it is there").to_vec();
    change(&mut value);
    db.insert(key, value).expect("sled writes");
    db.flush().expect("sled writes");
}

/// Opens sled as soon as nobody has its lock: a process that another test is just starting has it until it runs its program.
fn sled(path: &str) -> sled::Db {
    let start = Instant::now();
    loop {
        match sled::open(Path::new(path).join("sled")) {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") && start.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            opened => return opened.expect("sled opens"),
        }
    }
}

fn value(path: &str, key: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    change(path, key, |value| found = value.clone());
    found
}

#[test]
fn each_byte_of_a_record_that_is_changed_is_found_by_check() {
    let (_folder, path) = filled();
    let whole = value(&path, KEY);
    assert!(whole.len() > 20);
    for at in 0..whole.len() {
        for bit in [0, 7] {
            change(&path, KEY, |value| value[at] ^= 1 << bit);
            let output = run(&["--store", &path, "check"]);
            let found = text(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "byte {at}: {found}{}", text(&output.stderr));
            assert!(found.starts_with("Account \"ann\": ") && found.contains(" 1 damaged"), "byte {at}: {found}");
            // The others can be read.
            assert!(run(&["--store", &path, "get", "Account", "ben"]).status.success(), "byte {at}");
            change(&path, KEY, |value| value.clone_from(&whole));
        }
    }
    let output = run(&["--store", &path, "check"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn all_but_the_damaged_record_can_be_moved_to_a_new_store() {
    let (_folder, path) = filled();
    let (lines, new) = (beside(&path, "lines"), beside(&path, "new"));
    let mut sound = records(&path);
    change(&path, KEY, |value| value[0] ^= 1);
    let output = run(&["--store", &path, "export"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    fs::write(&lines, output.stdout).expect("writes");
    done(&["--store", &new, "import", &lines]);
    sound.remove(&KEY[1..]);
    assert!(records(&new) == sound);
}

/// `PLACES=5000` tries more of them.
#[test]
fn a_byte_of_the_file_that_is_changed_is_found_or_does_no_harm() {
    let places: usize = std::env::var("PLACES").map_or(60, |places| places.parse().expect("a number"));
    let (_folder, path) = filled();
    let sound = records(&path);
    let file = Path::new(&path).join("sled").join("db");
    let bytes = fs::read(&file).expect("reads");
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let copy = beside(&path, "copy");
    let (mut found, mut harmless) = (0, 0);
    for at in used.iter().step_by((used.len() / places).max(1)) {
        copy_folder(Path::new(&path), Path::new(&copy));
        let mut changed = bytes.clone();
        changed[*at] ^= 0x55;
        fs::write(Path::new(&copy).join("sled").join("db"), changed).expect("writes");
        let output = run(&["--store", &copy, "check"]);
        let error = text(&output.stderr);
        assert!(!error.contains("panicked"), "byte {at}: {error}");
        match output.status.code() {
            Some(0) => {
                assert!(records(&copy) == sound, "byte {at}: check found nothing, and the records are others");
                harmless += 1;
            }
            Some(1) => found += 1,
            code => panic!("byte {at}: {code:?} {error}"),
        }
        fs::remove_dir_all(&copy).expect("removes");
    }
    eprintln!("{found} found, {harmless} harmless");
    assert!(found > 0);
}
