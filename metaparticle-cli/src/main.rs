//! `metaparticle`: looks into stores, changes, moves and checks them, without the program's types.
//!
//! This file only runs the command and turns its end into an exit code; `args.rs` is what is typed, `commands/` what it does.

#![cfg_attr(fuzzing, no_main, allow(dead_code, reason = "only the reader of lines is used"))]

mod args;
mod ask;
mod commands;
mod failure;
#[cfg(fuzzing)]
mod fuzzing;
mod json;
mod keys;
mod line;
mod open;
mod output;
mod progress;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("metaparticle: {}", failure.message);
            }
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let mut output = Output::new(args.json);
    let store = || open::existing(args.store.as_deref());
    let out = &mut output;
    let done = match args.command {
        Command::Ls { type_name: None, .. } => commands::ls::types(&store()?, out),
        Command::Ls { type_name: Some(name), prefix } => commands::ls::objects(&store()?, &name, prefix.as_deref(), out),
        Command::Get { type_name, key } => commands::get::run(&store()?, &type_name, key.as_deref(), out),
        Command::Set { type_name, arguments } => commands::set::run(&store()?, &type_name, &arguments, out),
        Command::Rm { type_name, key, yes } => commands::rm::run(&store()?, &type_name, key.as_deref(), yes, out),
        Command::Export { types } => commands::export::run(&store()?, &types, out),
        Command::Import { file, yes } => commands::import::run(args.store.as_deref(), &file, yes, out),
        Command::Copy { from, to, yes } => commands::copy::run(&from, &to, yes, out),
        Command::Check => commands::check::run(&store()?, out),
        Command::Schema { types } => commands::schema::run(&store()?, &types, out),
        Command::Stats => commands::stats::run(&store()?, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "metaparticle", &mut script);
            out.raw(&script)
        }
    };
    // What was found is shown also when the command did not come to its end.
    let flushed = output.flush();
    done.and(flushed)
}
