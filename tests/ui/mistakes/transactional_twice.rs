use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
#[transactional(attempts = 3)]
fn visit(page: &mut Visits) -> Result<u64> {
    page.count += 1;
    Ok(page.count)
}

fn main() -> Result<()> {
    visit("home")?;
    Ok(())
}
