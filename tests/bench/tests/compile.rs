//! What is compiled for each type of a user's.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines that LLVM is given of a program with so many structs and functions.
fn lines(structs: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("programs");
    let output = Command::new(env!("CARGO_BIN_EXE_metaparticle-bench"))
        .args(["compile", "--rounds", "0", "--structs", &structs.to_string(), "--target"])
        // Where most of what they need is built already.
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder"))
        .arg("--json")
        .arg(&json)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let programs = fs::read_to_string(json).expect("programs");
    let ours: serde_json::Value = serde_json::from_str(programs.lines().next().expect("a program")).expect("JSON");
    assert_eq!(ours["program"], "metaparticle");
    ours["llvm_lines"].as_f64().expect("a number")
}

/// 5,000 when this was written; 12,000 before what does not depend on the type was compiled once.
#[test]
fn little_is_compiled_for_each_struct_and_function() {
    let (few, more) = (lines(10), lines(20));
    assert!(more > few && (more - few) / 10.0 < 6_500.0, "{} lines for each", (more - few) / 10.0);
}
