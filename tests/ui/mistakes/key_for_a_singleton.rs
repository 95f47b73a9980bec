//! A singleton has no key.

use metaparticle::{persistent, transactional, Result};

#[persistent(default, singleton)]
struct Settings {
    theme: u64,
}

#[transactional]
fn change(settings: &mut Settings) -> Result<()> {
    settings.theme += 1;
    Ok(())
}

fn main() {
    let _ = change("mine");
}
