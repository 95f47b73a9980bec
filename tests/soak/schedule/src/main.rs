//! What the campaign `schedule` runs: scenarios whose threads are scheduled by shuttle.
//!
//! `metaparticle-soak schedule` builds it with `--cfg metaparticle_schedule`. Built otherwise, there is nothing in it.

#[cfg(metaparticle_schedule)]
mod explorer;

#[cfg(metaparticle_schedule)]
fn main() -> std::process::ExitCode {
    explorer::main()
}

#[cfg(not(metaparticle_schedule))]
fn main() {
    eprintln!("this was not built for the campaign: run `metaparticle-soak schedule`");
    std::process::exit(2);
}
