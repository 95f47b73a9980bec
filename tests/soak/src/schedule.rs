//! The campaign `schedule`: the commit path, with its threads in orders that hardly ever happen by themselves.
//!
//! It is run by a build of its own, in which `metaparticle` takes its locks and threads from shuttle. Each execution is a scenario: a
//! few threads, a store whose disk is a model, and what must be true in the end and whenever somebody looks. Half of the executions
//! choose the next thread at random, the other half give threads priorities that change a few times (PCT).
//!
//! There is no campaign under loom, which would add what shuttle leaves out: memory that processors see in different orders. In the
//! commit path no two threads meet in an atomic alone. What decides something is changed with a lock held and, before anybody acts on
//! it, looked at again with the same lock: `awaited`, `failed` and the end of waiting for `durable` with that of the queue's state,
//! `unwritten` with the table's, the number of watchers with the table's (a watcher compares with it held after it was counted, and
//! a commit counts after it has held it). What is looked at without one may be old without harm: `durable` only grows, and the number
//! of tickets, of groups, and who watches the disk without being asleep, only say whether it is worth while to look.

#[cfg(metaparticle_schedule)]
mod explore;
#[cfg(metaparticle_schedule)]
mod network;
#[cfg(metaparticle_schedule)]
mod place;
#[cfg(metaparticle_schedule)]
mod recorder;
#[cfg(metaparticle_schedule)]
mod scenarios;

use std::process::ExitCode;

use crate::campaign::Settings;
#[cfg(metaparticle_schedule)]
use crate::campaign::{self, Campaign, Result, Run};
#[cfg(metaparticle_schedule)]
use crate::engine::Engine;

/// Runs the threads of small scenarios in many different orders.
///
/// For that, everything is built again, into `target/schedule`. A round is one execution of a scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    #[command(flatten)]
    settings: Settings,
    /// Only this scenario.
    #[arg(long)]
    scenario: Option<String>,
    /// Only this one execution, as a failure has named it.
    #[arg(long, conflicts_with = "scenario")]
    replay: Option<String>,
}

#[cfg(not(metaparticle_schedule))]
impl Schedule {
    /// Runs the campaign in the build that can.
    pub(crate) fn run(&self) -> ExitCode {
        let root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let given = std::env::var("RUSTFLAGS").unwrap_or_default();
        // With bugs to plant in any case, so that there is one such build.
        let flags =
            format!("{} --cfg metaparticle_planted --cfg metaparticle_schedule", given.replace("--cfg metaparticle_planted", ""));
        let status = std::process::Command::new("cargo")
            .current_dir(&root)
            .args(["run", "--release", "--quiet", "-p", env!("CARGO_PKG_NAME"), "--"])
            .args(std::env::args_os().skip(1))
            .env("RUSTFLAGS", flags.trim())
            .env("CARGO_TARGET_DIR", root.join("target/schedule"))
            .status();
        match status {
            Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
            Err(error) => {
                println!("cargo cannot be run: {error}");
                ExitCode::from(2)
            }
        }
    }
}

#[cfg(metaparticle_schedule)]
impl Schedule {
    pub(crate) fn run(&self) -> ExitCode {
        campaign::run(self)
    }
}

#[cfg(metaparticle_schedule)]
impl Campaign for Schedule {
    const NAME: &'static str = "schedule";
    /// Models of all kinds of engines, which are in memory.
    const ENGINES: &'static [Engine] = &[Engine::Memory];
    const ROUNDS: u64 = 500_000;
    const WRONG: &'static [&'static str] = &["wrong", "stuck"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        self.scenario.iter().flat_map(|name| ["--scenario".to_owned(), name.clone()]).collect()
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        match &self.replay {
            Some(execution) => explore::replay(run, execution),
            None => explore::explore(run, &scenarios::named(self.scenario.as_deref())?),
        }
    }
}
