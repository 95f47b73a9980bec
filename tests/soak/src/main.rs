//! Campaigns that try to make metaparticle break its promises.
//!
//! ```text
//! cargo run --release -p metaparticle-soak -- kill --engine sled --rounds 200
//! cargo run --release -p metaparticle-soak -- planted
//! ```
//!
//! A campaign prints its seed first, and figures as `name=value` in its last line. It ends with 0 if every promise was kept, with
//! 1 if one was broken or the campaign did too little to tell, and with 2 if it could not be run. What it was working on is kept
//! then, in a folder that it names.

mod bytes;
mod campaign;
mod child;
mod engine;
mod figures;
mod kill;
mod planted;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tries to make metaparticle break its promises.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bytes(bytes::Bytes),
    Kill(kill::Kill),
    Planted(planted::Options),
    /// Writes to a store until it is killed.
    #[command(hide = true)]
    Writer(kill::Writer),
    /// Tells whether a store is as it must be.
    #[command(hide = true)]
    Verifier(kill::Verifier),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Bytes(bytes) => campaign::run(&bytes),
        Command::Kill(kill) => campaign::run(&kill),
        Command::Planted(options) => planted::run(&options),
        Command::Writer(writer) => child::end(writer.run()),
        Command::Verifier(verifier) => child::end(verifier.run()),
    }
}
