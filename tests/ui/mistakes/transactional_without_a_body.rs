//! A transactional function has a body.

use metaparticle::transactional;

trait Counts {
    #[transactional]
    fn visit(&mut self) -> metaparticle::Result<u64>;
}

fn main() {}
