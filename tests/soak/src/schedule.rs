//! The campaign `schedule`: the commit path, with its threads in orders that hardly ever happen by themselves.
//!
//! The package `metaparticle-schedule` is built for it, so that `metaparticle` takes its locks and threads from shuttle. A round is one
//! execution of a scenario: a few threads, a store whose disk is a model, and what must be true in the end and whenever somebody
//! looks. Half of the executions choose the next thread at random, the other half give threads priorities that change a few times
//! (PCT).
//!
//! There is nothing under loom, which would add what shuttle leaves out: memory that processors see in different orders. In the
//! commit path no two threads meet in an atomic alone. What decides something is changed with a lock held and, before anybody acts on
//! it, looked at again with the same lock: `awaited`, `failed` and the end of waiting for `durable` with that of the queue's state,
//! `unwritten` with the table's. The number of watchers is changed before a watcher compares with the table's lock held, and looked at
//! after a commit has held it. What a shared future has come to is set before the lock of those who wait is taken, and looked at after
//! it. What is looked at without a lock may be old without harm: `durable` only grows, and the number of queues for turns, that of
//! groups, and who waits without being asleep, only say whether it is worth while to look.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::engine::Engine;

/// Runs the threads of small scenarios in many different orders.
///
/// For that, metaparticle is built again, into `target/schedule`. A round is one execution of a scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    #[command(flatten)]
    settings: Settings,
    /// Only this scenario.
    #[arg(long)]
    scenario: Option<String>,
    /// Only this execution, as a failure has named it.
    #[arg(long, conflicts_with = "scenario")]
    replay: Option<String>,
}

/// So many executions are asked for at once.
const PART: u64 = 20_000;

/// What the explorer counts beside the executions.
const FIGURES: [&str; 4] = ["steps", "acknowledged", "conflicts", "rebases"];

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
        let options = [("scenario", &self.scenario), ("replay", &self.replay)];
        options.into_iter().filter_map(|(name, value)| Some(format!("--{name} {}", value.as_ref()?))).collect()
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let explorer = build()?;
        let explorer = Explorer { program: &explorer, scenario: self.scenario.as_deref() };
        if let Some(execution) = &self.replay {
            run.next_rounds(1);
            return explorer.ask(run, &["replay", execution]);
        }
        // If an execution could not be repeated, no failure could be understood.
        explorer.ask(run, &["check"])?;
        loop {
            let executions = run.next_rounds(PART);
            if executions == 0 {
                break;
            }
            let seed = run.random.u64(..);
            explorer.ask(run, &["explore", "--executions", &executions.to_string(), "--seed", &seed.to_string()])?;
        }
        if self.scenario.is_some() {
            return Ok(());
        }
        run.figures.at_least("steps", 100 * run.rounds())?;
        run.figures.at_least("acknowledged", 2 * run.rounds())?;
        run.figures.at_least("conflicts", run.rounds() / 4)
    }
}

/// What executes scenarios.
#[derive(Debug)]
struct Explorer<'a> {
    program: &'a Path,
    scenario: Option<&'a str>,
}

impl Explorer<'_> {
    /// Has it do something, and counts what it has done.
    fn ask(&self, run: &mut Run, arguments: &[&str]) -> Result<()> {
        let scenario = self.scenario.into_iter().flat_map(|name| ["--scenario", name]);
        let output = Command::new(self.program).args(arguments).args(scenario).output()?;
        std::fs::write(run.folder.join("explorer.errors"), &output.stderr)?;
        let said = said(&output);
        match output.status.code() {
            Some(0) => {}
            Some(1) => return Err(wrong(&said)),
            Some(2) => return Err(Failure::not_run(said)),
            // Such as a panic that a thread met with while another one unwound.
            _ => return Err(Failure::new("wrong", format!("the explorer has ended with {}: {said}", output.status))),
        }
        let figures = said.split_whitespace().filter_map(|figure| figure.split_once('='));
        for (name, number) in figures {
            if let (Some(name), Ok(number)) = (FIGURES.into_iter().find(|known| *known == name), number.parse()) {
                run.figures.add(name, number);
            }
        }
        Ok(())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What the explorer has found: the figure, the execution, and what is not as it must be.
fn wrong(said: &str) -> Failure {
    let mut words = said.splitn(3, ' ');
    let (figure, execution, what) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (scenario, schedule) = execution.split_once(':').unwrap_or_default();
    Failure::new(
        if figure == Some("stuck") { "stuck" } else { "wrong" },
        format!(
            "{what}\nscenario: {scenario}\nschedule: {schedule}\n\
             replay: cargo run --release -p metaparticle-soak -- schedule --replay {execution}"
        ),
    )
}

/// Builds the explorer.
fn build() -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/schedule");
    // With bugs to plant in any case, so that there is one such build.
    let given = std::env::var("RUSTFLAGS").unwrap_or_default().replace("--cfg metaparticle_planted", "");
    let status = Command::new("cargo")
        .current_dir(&root)
        .args(["build", "--release", "--quiet", "-p", "metaparticle-schedule"])
        .env("RUSTFLAGS", format!("{} --cfg metaparticle_planted --cfg metaparticle_schedule", given.trim()).trim())
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|error| Failure::not_run(format!("cargo cannot be run: {error}")))?;
    if !status.success() {
        return Err(Failure::not_run("the explorer cannot be built"));
    }
    Ok(target.join("release/metaparticle-schedule").with_extension(std::env::consts::EXE_EXTENSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_can_be_repeated() {
        let failure = wrong("stuck lost_update:1f:0011 deadlock! blocked tasks");
        assert_eq!(failure.figure, "stuck");
        assert!(
            failure.what.starts_with("deadlock! blocked tasks\nscenario: lost_update\nschedule: 1f:0011\n"),
            "{}",
            failure.what
        );
        assert!(failure.what.ends_with(" --replay lost_update:1f:0011"), "{}", failure.what);
    }
}
