use metaparticle::{Mut, Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

impl Visits {
    #[transactional]
    fn visit(self: Mut<Self>) -> Result<u64> {
        self.set_count(self.count() + 1);
        Ok(*self.count())
    }
}

fn main() -> Result<()> {
    Visits::visit("home")?;
    Ok(())
}
