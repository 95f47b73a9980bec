use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

trait Visit {
    fn visit(&mut self) -> Result<u64>;
}

impl Visit for Visits {
    #[transactional]
    fn visit(&mut self) -> Result<u64> {
        self.count += 1;
        Ok(self.count)
    }
}

fn main() {}
