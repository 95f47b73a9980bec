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
mod crash;
#[cfg(target_os = "linux")]
mod disk;
mod engine;
mod figures;
mod kill;
mod load;
mod model;
mod once;
mod planted;
#[cfg(target_os = "linux")]
mod power;
mod progress;
mod schedule;
mod serializable;
#[cfg(target_os = "linux")]
mod shim;

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
    #[cfg(target_os = "linux")]
    Disk(disk::Disk),
    /// Writes to a store whose disk fails.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Faulty(disk::Faulty),
    Bytes(bytes::Bytes),
    Kill(kill::Kill),
    Load(load::Load),
    Once(once::Once),
    Planted(planted::Options),
    #[cfg(target_os = "linux")]
    Power(power::Power),
    Model(model::Model),
    Serializable(serializable::Serializable),
    /// Runs transactions on a store that others use too.
    #[command(hide = true)]
    SerializableClient(serializable::Process),
    Schedule(schedule::Schedule),
    /// Writes to a store until it is killed.
    #[command(hide = true)]
    Writer(crash::Writer),
    /// Tells whether a store is as it must be.
    #[command(hide = true)]
    Verifier(crash::Verifier),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        #[cfg(target_os = "linux")]
        Command::Disk(disk) => campaign::run(&disk),
        #[cfg(target_os = "linux")]
        Command::Faulty(faulty) => child::end(faulty.run()),
        Command::Bytes(bytes) => campaign::run(&bytes),
        Command::Kill(kill) => campaign::run(&kill),
        Command::Load(load) => campaign::run(&load),
        Command::Once(once) => campaign::run(&once),
        Command::Planted(options) => planted::run(&options),
        #[cfg(target_os = "linux")]
        Command::Power(power) => campaign::run(&power),
        Command::Model(model) => campaign::run(&model),
        Command::Serializable(serializable) => campaign::run(&serializable),
        Command::SerializableClient(process) => child::end(process.run()),
        Command::Schedule(schedule) => campaign::run(&schedule),
        Command::Writer(writer) => child::end(writer.run()),
        Command::Verifier(verifier) => child::end(verifier.run()),
    }
}
