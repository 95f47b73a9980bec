//! Processes that end, and what is found afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use metaparticle::{ErrorKind, Result, Store, persistent, transactional};
use metaparticle_tests::{crash, folder};

#[persistent(default)]
struct Counter {
    n: u64,
}

#[transactional]
fn count(counter: &mut Counter) -> Result<u64> {
    Ok(counter.n)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Kills a writer after so many acknowledgements; gives the number of the next one.
fn write_and_kill(path: &str, mode: &str, acknowledgements: usize) -> u64 {
    let mut writer = Command::new(env!("CARGO_BIN_EXE_crash-writer"))
        .args([mode, path, "1000000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let out = BufReader::new(writer.stdout.take().expect("its output"));
    let mut lines = out.lines().map_while(std::result::Result::ok);
    let mut acknowledged = lines.by_ref().take(acknowledgements).last();
    writer.kill().expect("it is killed");
    writer.wait().expect("it has ended");
    // What it had said by then counts as well; a line that was cut short does not.
    acknowledged = lines.filter(|line| line.starts_with("ACK ")).last().or(acknowledged);
    let number = acknowledged.and_then(|line| line.strip_prefix("ACK ")?.parse::<u64>().ok());
    number.expect("the writer has written something") + 1
}

/// The URL of a store in a folder, on each engine that keeps it there.
fn urls(folder: &Path) -> [String; 2] {
    ["fjall", "sled"].map(|engine| format!("{engine}:{}", folder.join(engine).display()))
}

fn kill_rounds(mode: &str, rounds: u64) {
    let folder = folder();
    urls(folder.path()).iter().for_each(|url| kill_rounds_at(url, mode, rounds));
}

fn kill_rounds_at(path: &str, mode: &str, rounds: u64) {
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..rounds {
        let acknowledged = write_and_kill(path, mode, random.usize(1..60));
        let required = if mode == "immediate" { acknowledged } else { 0 };
        let store = Store::open(path).unwrap_or_else(|error| panic!("{path}, round {round}: {error:?}"));
        // One more may have been committed without having been said.
        let bounds = required..=acknowledged + 1;
        crash::verify(&store, &[bounds]).unwrap_or_else(|wrong| panic!("{path}, round {round}: {wrong}"));
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    kill_rounds("immediate", 15);
}

#[test]
fn a_killed_process_loses_only_the_end_with_eventual_durability() {
    kill_rounds("eventual", 15);
}

#[test]
fn a_normal_exit_loses_nothing_with_eventual_durability() {
    for how in ["return", "exit"] {
        let folder = folder();
        for url in urls(folder.path()) {
            let status = Command::new(env!("CARGO_BIN_EXE_eventual-exit")).args([&*url, how]).status().expect("it runs");
            assert!(status.success());
            let store = Store::open(&url).expect("opens");
            assert_eq!(store.run(|| count("n")).expect("counts"), 1000, "{url}, {how}");
        }
    }
}

#[test]
fn a_second_process_on_the_same_folder_is_told_so() {
    let folder = folder();
    let path = text(&folder.path().join("store"));
    let _store = Store::open(&path).expect("opens");
    let output = Command::new(env!("CARGO_BIN_EXE_crash-writer")).args(["immediate", &*path, "1"]).output().expect("it runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use by another process"), "{said}");
}

#[test]
fn opening_right_after_dropping_works() {
    let folder = folder();
    for (url, n) in urls(folder.path()).iter().flat_map(|url| (0..20).map(move |n| (url, n))) {
        let store = Store::open(url).expect("opens");
        assert_eq!(store.run(|| count("n")).expect("counts"), n);
        let increment = |counter: &mut Counter| {
            counter.n += 1;
            metaparticle::Ok(())
        };
        store.run(|| metaparticle::scoped("n", increment)).expect("increments");
    }
}

#[test]
fn a_folder_that_is_not_a_store_is_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("notes.txt"), "mine").expect("writes");
    let error = Store::open(text(folder.path())).expect_err("it is not ours");
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(error.to_string().contains("notes.txt"), "{error}");
}

#[test]
fn urls_that_cannot_be_used_are_refused() {
    for (url, says) in [
        ("", "no path"),
        ("sled:", "no path"),
        ("fjall:", "no path"),
        ("memory:mine", "no name"),
        ("rediss://me:secret@host:port/", "cannot be used"),
        ("postgres://me:secret@host:port/", "cannot be used"),
        ("mysql://me:secret@host/", "cannot be used"),
        ("ftp://secret@host/", "not an engine"),
        ("fjal:my.db", "not an engine"),
        ("mongodb:secret@host", "not an engine"),
    ] {
        let error = Store::open(url).expect_err("it cannot be used");
        assert_eq!(error.kind(), ErrorKind::Setup);
        assert!(error.to_string().contains(says) && !error.to_string().contains("secret"), "{url}: {error}");
    }
}
