use metaparticle::persistent;

mod seconds {}

#[persistent]
struct Visits {
    #[persistent(with = seconds)]
    last: std::time::SystemTime,
}

fn main() {}
