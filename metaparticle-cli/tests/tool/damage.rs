//! `check` finds every damaged record, and says which and where.

use super::support::{done, fails, filled, put, records, run, text};

#[test]
fn a_sound_store_has_none() {
    let (_folder, path) = filled();
    let before = records(&path);
    assert!(done(&["--store", &path, "check"]).trim_end().ends_with(" 0 damaged"));
    assert_eq!(done(&["--store", &path, "--json", "check"]), "");
    assert_eq!(records(&path), before);
}

/// Puts damage in the place of Ann's account, and returns what `check` says of it.
fn found(bytes: &[u8]) -> String {
    let (_folder, path) = filled();
    put(&path, &[(b"\x02Account\0\x02ann\0", Some(bytes))]);
    let output = run(&["--store", &path, "check"]);
    let found = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(found.contains(" 1 damaged"), "{found}");
    assert!(found.starts_with("Account \"ann\": "), "{found}");
    found
}

#[test]
fn a_record_cut_at_any_length_is_found() {
    let (_folder, path) = filled();
    let whole = records(&path)[&b"\x02Account\0\x02ann\0"[..]].clone();
    for length in 0..whole.len() {
        found(&whole[..length]);
    }
}

#[test]
fn a_record_with_hostile_content_is_found() {
    // A schema that is not there, another number of fields, another format, offsets out of order.
    assert!(found(b"\x01\x09\0\0\0\x01\0\x01\0\0\0\x01").contains("schema 9"));
    assert!(found(b"\x01\0\0\0\0\x01\0\x01\0\0\0\x01").contains("1 fields"));
    assert!(found(b"\x07\0\0\0\0\x01\0\x01\0\0\0\x01").contains("format 7"));
    assert!(found(b"\x01\0\0\0\0\x02\0\x02\0\0\0\x01\0\0\0\x01\x01").contains("out of order"));
    // The text says that it is longer than the record, or is not UTF-8; the number has bytes left over.
    assert!(found(b"\x01\0\0\0\0\x02\0\x01\0\0\0\x02\0\0\0\x02\x09").contains("`owner`"));
    assert!(found(b"\x01\0\0\0\0\x02\0\x01\0\0\0\x03\0\0\0\x02\x01\xff").contains("`owner`"));
    assert!(found(b"\x01\0\0\0\0\x02\0\x02\0\0\0\x03\0\0\0\x02\x02\0").contains("`balance`"));
}

#[test]
fn each_of_many_is_found_and_nothing_else() {
    let (_folder, path) = filled();
    let line = records(&path)[&b"\x02line\0\x05\x02a\0\x14\0"[..]].clone();
    put(
        &path,
        &[
            (b"\x02Account\0\x02ben\0", Some(b"")),
            (b"\x02line\0\x05\x02a\0\x14\0", Some(&line[1..])),
            // Keys that no program writes: of another type, out of range, with something after them.
            (b"\x02byte\0\x16\x01\0", Some(&line)),
            (b"\x02line\0\x02text\0", Some(&line)),
            (b"\x02Settings\0\x02key\0", Some(&line)),
            // Objects without a schema, and a schema that cannot be read.
            (b"\x02Lost\0\x02a\0", Some(&line)),
            (b"\x01schema\0\x02Damaged\0", Some(b"\x01\xff\xff")),
        ],
    );
    let output = run(&["--store", &path, "--json", "check"]);
    assert_eq!(output.status.code(), Some(1));
    let found = text(&output.stdout);
    let kinds: Vec<String> = found
        .lines()
        .map(|line| line.split("\"type\":").nth(1).expect("a type").split(',').next().expect("a name").to_owned())
        .collect();
    let mut kinds: Vec<&str> = kinds.iter().map(|kind| kind.trim_matches('"')).collect();
    kinds.dedup();
    assert_eq!(kinds, ["Damaged", "Account", "Lost", "Settings", "byte", "line"], "{found}");
    assert!(found.contains("\"key\":\"ben\"") && found.contains("\"key\":[\"a\",0]"), "{found}");
    assert!(fails(1, &["--store", &path, "check"]).contains("7 records are damaged"));
    // The rest can still be listed and read.
    done(&["--store", &path, "ls"]);
    done(&["--store", &path, "get", "Account", "ann"]);
    fails(1, &["--store", &path, "get", "Account", "ben"]);
    done(&["--store", &path, "stats"]);
}

#[test]
fn a_field_that_cannot_be_read_is_named_and_the_others_are_printed() {
    let (_folder, path) = filled();
    put(&path, &[(b"\x02Account\0\x02ann\0", Some(b"\x01\0\0\0\0\x02\0\x01\0\0\0\x03\0\0\0\x02\x01\xff"))]);
    let output = run(&["--store", &path, "--json", "get", "Account", "ann"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("{\"balance\":1,\"owner\":{\"opaque\":\"01ff\"}}"));
    assert!(text(&output.stderr).contains("`owner`"));
    // Setting it anew repairs it.
    done(&["--store", &path, "set", "Account", "ann", "owner=\"Ann\""]);
    done(&["--store", &path, "check"]);
}
