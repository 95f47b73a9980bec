//! Measures metaparticle: beside what is written by hand on other libraries, and as there is more of everything.
//!
//! ```text
//! cargo run --release -p metaparticle-bench -- peers
//! cargo run --release -p metaparticle-bench -- scale
//! cargo run --release -p metaparticle-bench -- compile
//! ```
//!
//! The first two measure each cell of their tables in a process of its own, in rounds in which all cells take their turns, and print
//! medians. What was stored is read again afterwards: figures of a store that has lost something end with a failure.

mod accounts;
mod chart;
mod comparison;
mod compile;
mod figures;
mod files;
mod job;
mod objects;
mod peers;
mod process;
mod report;
mod rounds;
mod scale;
mod usage;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;

use crate::figures::Figures;
use crate::rounds::{Cell, Process};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures metaparticle.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All jobs on metaparticle and on what is written by hand on other libraries; prints medians and ratios.
    Peers(comparison::Options),
    /// How metaparticle's cost grows; prints a table for each question.
    ///
    /// threads: transfers between two of 10,000 accounts (J3), and reads of three (J4), with more and more threads.
    ///
    /// objects: stores of more and more objects of 116 bytes, used by one thread, with a cache of 16 MiB. Cold is a new process
    /// right after opening, whose files have left the page cache; warm is the same process after it has read all objects once.
    /// What an engine reads through at every opening is warm at once. Updates are relaxed. In the end the process is killed at
    /// its updates, and the store must have what was flushed before. The peak is that of the process that needed the most.
    ///
    /// record: updates of one object, of 100 bytes up to 1 MiB, as far as the engine takes them; 16 MiB of objects in all.
    ///
    /// reads: relaxed transactions that read 1, 10, 100 and 1,000 accounts and change the first of them.
    Scale(scale::Options),
    /// What it takes to compile a program after a change of it, beside one of the same structs with serde alone; prints medians.
    Compile(compile::Options),
    /// One cell, in this process; prints a line of JSON.
    #[command(hide = true)]
    Cell {
        #[arg(value_parser = json::<Cell>)]
        cell: Cell,
        #[command(flatten)]
        process: Process,
    },
    /// A part of a cell that has to be a process of its own; prints a line of JSON.
    #[command(hide = true)]
    Step {
        #[arg(value_parser = json::<scale::Step>)]
        step: scale::Step,
        #[command(flatten)]
        process: Process,
    },
}

fn json<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text)
}

fn print(figures: &Figures) -> Result<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}

/// Whether nothing was lost.
fn run(command: &Command) -> Result<bool> {
    match command {
        Command::Peers(options) => return comparison::run(options),
        Command::Scale(options) => return scale::run(options),
        Command::Compile(options) => return compile::run(options),
        Command::Cell { cell, process } => print(&cell.measure(process)?)?,
        Command::Step { step, process } => step.run(process, print)?,
    }
    Ok(true)
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("something was lost: see the tables");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
