//! One target: a program of libFuzzer's making, and what it says in the end.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use crate::campaign::{Failure, Result};

/// Longer than any input may take, in seconds: some are of a few MB.
const TIMEOUT: u32 = 10;
/// Bytes of the longest input.
const LONGEST: u32 = 1 << 14;
/// In MiB. What an input may take is less, and looked at by the targets; this is for what would take the machine's memory.
const MEMORY: u32 = 2048;

#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    Seconds(u64),
    Inputs(u64),
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) seeds: PathBuf,
    pub(super) corpus: PathBuf,
    /// Where it puts what it has found.
    pub(super) findings: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) seed: u32,
    pub(super) amount: Amount,
}

/// What it has done.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) inputs: u64,
    pub(super) found: Option<Failure>,
}

impl Target {
    pub(super) fn run(&self) -> Result<Ended> {
        std::fs::create_dir_all(&self.corpus)?;
        std::fs::create_dir_all(&self.findings)?;
        let said = self.findings.join("said");
        let amount = match self.amount {
            Amount::Seconds(seconds) => format!("-max_total_time={seconds}"),
            Amount::Inputs(inputs) => format!("-runs={inputs}"),
        };
        let mut fuzz = Command::new(&self.program);
        fuzz.arg(amount).arg(format!("-seed={}", self.seed)).arg(format!("-artifact_prefix={}/", self.findings.display()));
        fuzz.args([format!("-timeout={TIMEOUT}"), format!("-max_len={LONGEST}"), format!("-rss_limit_mb={MEMORY}")]);
        fuzz.args(["-print_final_stats=1", "-verbosity=1", "-detect_leaks=0"]).arg(&self.corpus);
        fuzz.args(self.seeds.is_dir().then_some(&self.seeds));
        let out = File::create(&said)?;
        let ended = fuzz.env("TMPDIR", &self.scratch).stdout(out.try_clone()?).stderr(out).status()?;
        let said = std::fs::read(said)?;
        let said = String::from_utf8_lossy(&said);
        let number = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let inputs = number.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        let found = (!ended.success()).then(|| self.explain(ended, &said));
        Ok(Ended { inputs, found })
    }

    /// What was found, from how the program has ended, and what it has said of it.
    fn explain(&self, ended: ExitStatus, said: &str) -> Failure {
        let figure = match () {
            () if said.contains("oversized:") || said.contains("libFuzzer: out-of-memory") => "oversized",
            () if said.contains("memory allocation of") => "oversized",
            () if said.contains("libFuzzer: timeout") => "stuck",
            () => "panics",
        };
        let is_told = |line: &&str| line.contains("panicked at") || line.contains("ERROR:") || line.contains("memory allocation");
        let mut lines = said.lines().skip_while(|line| !is_told(line)).take(2);
        let what = match [lines.next(), lines.next()].map(Option::unwrap_or_default).join(" ") {
            // Somebody else has ended it: the system, for want of memory.
            nothing if nothing.trim().is_empty() => format!("it has ended with {ended}, and not said why"),
            what => what,
        };
        let input = said.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("", |(_, path)| path);
        let (name, program) = (self.name, self.program.display());
        Failure::new(figure, format!("{name}: {what}\nthe same input again: {program} {input}"))
    }
}
