//! What is compiled for each type of a user's.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines that LLVM is given of programs with so many structs and functions, whose fields are plain, and have types of their own.
fn lines(structs: usize) -> [f64; 2] {
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
    let programs: Vec<serde_json::Value> = programs.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    ["plain", "own"].map(|fields| {
        let ours = programs.iter().find(|program| program["program"] == "metaparticle" && program["fields"] == fields);
        ours.and_then(|program| program["llvm_lines"].as_f64()).expect("a number of lines")
    })
}

/// 4,900 and 14,600 when this was written; 12,000 and more before what does not depend on the type was compiled once, and then 27,000
/// of own types while what is decoded was compiled for each limit of its size.
#[test]
fn little_is_compiled_for_each_struct_and_function() {
    let (few, more) = (lines(10), lines(20));
    for (number, bound) in [(0, 6_500.0), (1, 17_000.0)] {
        let each = (more[number] - few[number]) / 10.0;
        assert!(each > 0.0 && each < bound, "{each} lines for each, and {bound} are the most");
    }
}
