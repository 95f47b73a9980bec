use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

impl Visits {
    #[transactional]
    fn visit(&mut self, by: &str) -> Result<&str> {
        self.count += 1;
        Ok(by)
    }
}

fn main() -> Result<()> {
    Visits::visit("home", "me")?;
    Ok(())
}
