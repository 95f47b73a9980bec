//! Looks at what a killed `crash-writer` has left: `crash-verifier MODE PATH LAST`, where LAST is the last number acknowledged, or
//! -1. Prints a line that begins with `OK`, or what is wrong.

use metaparticle::Store;
use metaparticle_tests::crash;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let last: i64 = arguments[3].parse().unwrap_or(-1);
    // What was acknowledged before it was durable may be lost; never torn, and nothing from the middle.
    let acknowledged = if arguments[1] == "eventual" { 0 } else { (last + 1).max(0) as u64 };
    match look(&arguments[2], acknowledged) {
        Ok(found) => println!("OK {found} found, {acknowledged} acknowledged"),
        Err(wrong) => {
            println!("VIOLATION {wrong}");
            std::process::exit(1);
        }
    }
}

/// How many numbers there are.
fn look(path: &str, acknowledged: u64) -> Result<u64, String> {
    let store = Store::open(path).map_err(|error| format!("unopenable {error:?}"))?;
    // Others may have written, and have acknowledged nothing.
    let found = crash::verify(&store, &[acknowledged..=u64::MAX]).map_err(|wrong| wrong.to_string())?;
    Ok(found.into_iter().sum())
}
