//! The program's schemas in its source tree.
//!
//! The environment is the process's, so what is written is written by a process of its own: `schema-file PATH VERSION`.

use std::path::Path;
use std::process::{Command, Output};

use metaparticle_tests::folder;

fn run(path: &Path, version: &str, write: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schema-file"));
    command.arg(path).arg(version).env_remove("METAPARTICLE_SCHEMA");
    if write {
        command.env("METAPARTICLE_SCHEMA", "write");
    }
    command.output().expect("it runs")
}

fn accepted(path: &Path, version: &str, write: bool) {
    let output = run(path, version, write);
    assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What was said, if it was refused.
fn refused(path: &Path, version: &str, write: bool) -> String {
    let before = std::fs::read(path).ok();
    let output = run(path, version, write);
    assert!(!output.status.success(), "{version} was accepted");
    assert_eq!(std::fs::read(path).ok(), before, "a file that does not fit was written");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_change_that_could_not_read_the_committed_schema_fails_with_the_difference() {
    let folder = folder();
    let path = folder.path().join("metaparticle.schema");
    let said = refused(&path, "first", false);
    assert!(said.contains("METAPARTICLE_SCHEMA=write") && said.contains("age: u32"), "{said}");
    accepted(&path, "first", true);
    accepted(&path, "first", false);
    let said = refused(&path, "retyped", true);
    for part in ["metaparticle.schema", "It was stored as", "age: u32", "age: text", "`age`", "#[persistent(from = \"u32\")]"] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    let said = refused(&path, "other key", false);
    assert!(said.contains("keys of type text, and now has u64"), "{said}");
    let said = refused(&path, "renamed", false);
    assert!(said.contains("#[persistent(name = \"User\")]"), "{said}");
}

#[test]
fn a_change_that_can_read_it_is_added_and_the_old_schema_stays() {
    let folder = folder();
    let path = folder.path().join("metaparticle.schema");
    accepted(&path, "first", true);
    let said = refused(&path, "widened", false);
    assert!(said.contains("What is stored can be read") && said.contains("age: u64"), "{said}");
    accepted(&path, "widened", true);
    accepted(&path, "widened", false);
    // The first program could not read what the second one writes.
    let said = refused(&path, "first", false);
    assert!(said.contains("u64"), "{said}");
}

#[test]
fn a_damaged_file_is_refused() {
    let folder = folder();
    let path = folder.path().join("metaparticle.schema");
    for content in ["", "{", "{\"format\": 9, \"types\": {}}", "[1]"] {
        std::fs::write(&path, content).expect("writes");
        let said = refused(&path, "first", true);
        assert!(said.contains("metaparticle.schema"), "{content}: {said}");
    }
}
