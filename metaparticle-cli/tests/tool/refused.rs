//! Stores that are not there, are not stores, or are in use; and arguments that mean harm.

use std::fs;
use std::path::Path;

use metaparticle::Store;

use super::support::{beside, command, done, fails, filled, records};

#[test]
fn looking_makes_no_store() {
    let (_folder, path) = filled();
    let (absent, file, other, empty) =
        (beside(&path, "no"), beside(&path, "file"), beside(&path, "other"), beside(&path, "empty"));
    fs::write(&file, "text").expect("writes");
    fs::create_dir(&empty).expect("makes");
    fs::create_dir(&other).expect("makes");
    fs::write(Path::new(&other).join("note"), "text").expect("writes");
    for path in [&absent, &file, &other, &empty, &format!("sled:{absent}"), "memory:"] {
        for arguments in [
            &["ls"][..],
            &["ls", "Account"],
            &["get", "Account", "ann"],
            &["set", "Account", "ann", "balance=1"],
            &["rm", "--yes", "Account", "ann"],
            &["export"],
            &["check"],
            &["schema"],
            &["stats"],
        ] {
            let error = fails(3, &[&["--store", path], arguments].concat());
            assert!(error.contains("there is no store at"), "{error}");
        }
        fails(3, &["copy", path, &beside(path, "target")]);
    }
    assert!(!Path::new(&absent).exists() && !Path::new(&beside(&absent, "target")).exists());
    assert_eq!(fs::read_dir(&empty).expect("lists").count(), 0);
    fails(3, &["--store", &absent, "import", &beside(&path, "no file")]);
    assert!(!Path::new(&absent).exists());
    // Import may make a store, but not of something else.
    assert!(fails(2, &["--store", &file, "import"]).contains("not a store"));
    assert!(fails(2, &["--store", &other, "import"]).contains("note"));
    assert!(fails(2, &["ls"]).contains("METAPARTICLE_STORE"));
}

#[test]
fn the_store_can_come_from_the_environment() {
    let (_folder, path) = filled();
    let output = command(&["get", "Account", "ann"]).env("METAPARTICLE_STORE", &path).output().expect("runs");
    assert!(output.status.success());
}

#[test]
fn a_store_in_use_is_said_to_be() {
    let (_folder, path) = filled();
    let store = Store::open(&path).expect("opens");
    for arguments in [&["ls"][..], &["set", "Account", "ann", "balance=1"], &["import"], &["check"]] {
        let error = fails(4, &[&["--store", &path], arguments].concat());
        assert!(error.contains("in use by another process"), "{error}");
    }
    fails(4, &["copy", &path, &beside(&path, "new")]);
    drop(store);
    assert!(fails(4, &["copy", &path, &path]).contains("in use"));
    done(&["--store", &path, "check"]);
}

#[test]
fn hostile_arguments_do_no_harm() {
    let (_folder, path) = filled();
    let before = records(&path);
    let deep = "[".repeat(100_000);
    let long = "a".repeat(100_000);
    let set_deep = format!("balance={deep}");
    for arguments in [
        &["get", "Account", &long][..],
        &["get", &long, "x"],
        &["get", "line", &deep],
        &["get", "line", "[]"],
        &["get", "line", "{}"],
        &["get", "huge", "1e400"],
        &["get", "huge", "-1"],
        &["get", "id", "xyz"],
        &["ls", "line", &deep],
        &["set", "Account", "ann", &set_deep],
        &["set", "Account", "ann", "=1"],
        &["set", "Account", "ann", "="],
        &["set", "Account", "ann", ""],
        &["set", "Account", "ann"],
        &["set", "Settings"],
        &["get", "schema", "x"],
        &["get", "", ""],
        &["export", "\u{1b}[2J"],
        &["completions", "none"],
    ] {
        let output = command(&[&["--store", &path], arguments].concat()).output().expect("runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{:?}: {error}", &arguments[..1]);
        assert!(!error.contains("panicked") && !error.contains('\u{1b}'), "{error}");
    }
    assert_eq!(records(&path), before);
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let (_folder, path) = filled();
    let output = command(&["--store", &path, "get", "Account"]).arg(std::ffi::OsStr::from_bytes(b"\xff")).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    use std::process::Stdio;
    let (_folder, path) = filled();
    let mut child = command(&["--store", &path, "export"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
