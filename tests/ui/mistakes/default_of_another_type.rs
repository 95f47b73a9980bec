use metaparticle::persistent;

fn one() -> u32 {
    1
}

#[persistent(default)]
struct Visits {
    #[persistent(default = one)]
    count: u64,
}

fn main() {}
