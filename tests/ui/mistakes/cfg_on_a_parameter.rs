use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits, #[cfg(debug_assertions)] by: u64) -> Result<u64> {
    page.count += by;
    Ok(page.count)
}

fn main() -> Result<()> {
    visit("home", 1)?;
    Ok(())
}
