//! The campaign `kill`, in small.

use std::process::Command;

#[test]
fn a_few_kills_do_no_harm() {
    for engine in ["fjall", "sled"] {
        let mut soak = Command::new(env!("CARGO_BIN_EXE_metaparticle-soak"));
        let output = soak.args(["kill", "--engine", engine, "--rounds", "5", "--calls", "5"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let last = said.lines().last().unwrap_or_default();
        for figure in ["rounds=5", "calls=5", "lost=0", "torn=0", "unopenable=0"] {
            assert!(last.split(' ').any(|word| word == figure), "{last}");
        }
    }
}
