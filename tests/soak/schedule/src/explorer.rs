//! Executes scenarios, and prints figures or what is wrong.

mod explore;
mod network;
mod place;
mod recorder;
mod scenarios;

use std::process::ExitCode;

use clap::Parser;

use self::explore::{Wrong, check_repeats, explore, replay};
use self::scenarios::{named, names};

#[derive(Debug, Parser)]
enum Command {
    /// Sees whether scenarios can be repeated.
    Check {
        #[arg(long)]
        scenario: Option<String>,
    },
    /// Executes scenarios, so many times all together.
    Explore {
        #[arg(long)]
        scenario: Option<String>,
        #[arg(long)]
        executions: u64,
        #[arg(long)]
        seed: u64,
    },
    /// Executes a scenario once, as it was executed before.
    Replay { execution: String },
}

/// Ends with 1 if something is wrong, and with 2 if it cannot be told.
pub(crate) fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Check { scenario } => select(scenario).and_then(|scenarios| Ok(check_repeats(&scenarios)?)),
        Command::Explore { scenario, executions, seed } => {
            select(scenario).and_then(|scenarios| Ok(explore(&scenarios, executions, seed)?))
        }
        Command::Replay { execution } => replay(&execution),
    };
    match done {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(Failed::Wrong(wrong)) => {
            println!("{wrong}");
            ExitCode::from(1)
        }
        Err(Failed::Asked(what)) => {
            println!("{what}");
            ExitCode::from(2)
        }
    }
}

/// Why there are no figures.
enum Failed {
    Wrong(Wrong),
    /// What was asked for cannot be done.
    Asked(String),
}

impl From<Wrong> for Failed {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

fn select(scenario: Option<String>) -> Result<Vec<scenarios::Scenario>, Failed> {
    let found = named(scenario.as_deref());
    if found.is_empty() {
        return Err(Failed::Asked(format!("there is no such scenario; there are: {}", names().join(", "))));
    }
    Ok(found)
}
