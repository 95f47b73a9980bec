//! The program as it is called.

use std::fs;
use std::process::Command;

#[test]
fn a_store_is_filled_used_killed_and_found_whole_by_processes_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures");
    let output = Command::new(env!("CARGO_BIN_EXE_metaparticle-bench"))
        .args(["scale", "--only", "objects", "--objects", "2000", "--seconds", "0.05", "--rounds", "1", "--folder"])
        .arg(folder.path())
        .arg("--json")
        .arg(&json)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(table.lines().last().is_some_and(str::is_empty) && table.contains("| 2000 "), "{table}");
    let lines = fs::read_to_string(json).expect("figures");
    let figures: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(figures.iter().map(|line| line["objects"].as_u64()).collect::<Vec<_>>(), [Some(1_000), Some(2_000)]);
    for line in figures {
        for figure in ["fill", "cold_reads", "warm_reads", "cold_updates", "warm_updates"] {
            assert!(line[format!("{figure}_per_second")].as_f64() > Some(0.0), "{figure}: {line}");
        }
        for figure in ["open_ms", "open_after_kill_ms", "disk_per_byte", "peak_mib"] {
            assert!(line[figure].as_f64() > Some(0.0), "{figure}: {line}");
        }
        assert_eq!(line["lost"].as_f64(), Some(0.0), "{line}");
    }
}
