use metaparticle::persistent;

#[persistent(default)]
#[persistent(key = u64)]
struct Visits {
    count: u64,
}

fn main() {}
