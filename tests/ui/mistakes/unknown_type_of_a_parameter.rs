use metaparticle::{Result, transactional};

#[transactional]
fn visit(page: &mut Visists) -> Result<u64> {
    page.count += 1;
    Ok(page.count)
}

fn main() -> Result<()> {
    visit("home")?;
    Ok(())
}
