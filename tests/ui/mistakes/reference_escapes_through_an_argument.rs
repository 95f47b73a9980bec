//! A reference into an object does not live as long as an argument.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    title: String,
}

#[transactional]
fn title<'a>(page: &mut Visits, other: &'a str) -> Result<&'a str> {
    Ok(if other.is_empty() { &page.title } else { other })
}

fn main() {}
