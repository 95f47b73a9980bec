//! Writes to the process's default store without waiting for the disk, and ends normally: `eventual-exit PATH return|exit`.

use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Counter {
    n: u64,
}

#[transactional(durability = eventual)]
fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    metaparticle::open(&arguments[1])?;
    for _ in 0..1000 {
        increment("n")?;
    }
    if arguments[2] == "exit" {
        std::process::exit(0);
    }
    Ok(())
}
