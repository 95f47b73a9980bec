//! A transactional function returns a `Result`.

use metaparticle::{persistent, transactional};

struct Answer;

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits) -> Answer {
    page.count += 1;
    Answer
}

fn main() {}
