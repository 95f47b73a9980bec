use metaparticle::{Result, persistent, transactional};

#[persistent(default)]
struct Visits {
    count: u64,
}

struct Plain {
    count: u64,
}

#[transactional]
fn visit(page: &mut Visits, plain: &mut Plain) -> Result<()> {
    page.count += 1;
    plain.count += 1;
    Ok(())
}

fn main() {}
