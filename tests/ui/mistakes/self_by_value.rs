//! A body may run more than once.

use metaparticle::{persistent, transactional, Result};

#[persistent(default)]
struct Visits {
    count: u64,
}

impl Visits {
    #[transactional]
    fn visit(self) -> Result<u64> {
        Ok(self.count)
    }
}

fn main() {}
