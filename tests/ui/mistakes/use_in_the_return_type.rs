use metaparticle::{Ref, Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn after<'a>(page: Ref<Visits>, all: &'a [u64]) -> Result<impl Iterator<Item = &'a u64> + use<'a>> {
    let count = page.count;
    Ok(all.iter().filter(move |n| **n > count))
}

fn main() {}
