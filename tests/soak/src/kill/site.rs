//! The one store that the campaign works on, and what has happened to it.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::Moment;
use crate::campaign::{Failure, Result, Run};
use crate::child::{Call, Child, End};
use crate::crash::{Ledger, Mode, Verifier, Writer};

pub(super) struct Site {
    store: PathBuf,
    url: String,
    /// What the children say on standard error.
    errors: PathBuf,
    threads: u64,
    ledger: Ledger,
    /// For people: what was done with the store.
    history: File,
}

impl Site {
    pub(super) fn new(run: &mut Run, threads: u64) -> Result<Self> {
        let store = run.folder.join("store");
        let (url, errors) = (run.engine.url_in(&store), run.folder.join("errors"));
        let history = File::create(run.folder.join("history"))?;
        let mut site = Self { store, url, errors, threads, ledger: Ledger::new(0), history };
        site.begin_anew(run)?;
        Ok(site)
    }

    /// From here on, there is no store yet.
    pub(super) fn begin_anew(&mut self, run: &mut Run) -> Result<()> {
        if self.store.exists() {
            fs::remove_dir_all(&self.store)?;
        }
        self.history = File::create(run.folder.join("history"))?;
        self.ledger = Ledger::new(self.threads as usize);
        run.figures.add("stores", 1);
        Ok(())
    }

    /// Has a process write until it is killed at some moment.
    pub(super) fn write(&mut self, run: &mut Run, mode: Mode, moment: Moment) -> Result<()> {
        self.note(format_args!("a {mode} writer, to be killed {moment}"))?;
        let mut writer = Child::start(&Writer::arguments(&self.url, mode, self.threads), &self.errors)?;
        let mut lines = Vec::new();
        let delay = match moment {
            Moment::Early(delay) => delay,
            Moment::Later(wanted, delay) => {
                while lines.len() < wanted
                    && let Some(line) = writer.line()?
                {
                    lines.push(line);
                }
                delay
            }
        };
        std::thread::sleep(delay);
        writer.kill()?;
        lines.extend(writer.rest()?);
        let end = writer.end()?;
        self.written(run, end, &lines)
    }

    /// Has a process write until it is killed at a system call.
    pub(super) fn write_up_to(&mut self, run: &mut Run, mode: Mode, call: Call) -> Result<()> {
        self.note(format_args!("a {mode} writer, to be killed at {call:?}"))?;
        let arguments = Writer::arguments(&self.url, mode, self.threads);
        let (end, lines) = Child::start_and_kill_at(&arguments, &self.errors, call)?;
        run.figures.add("calls", 1);
        self.written(run, end, &lines)
    }

    fn written(&mut self, run: &mut Run, end: End, lines: &[String]) -> Result<()> {
        run.figures.add("killed_opening", u64::from(lines.is_empty()));
        self.ended(run, end, lines)
    }

    /// Has a process look at the store, and kills it after a while.
    pub(super) fn verify_for(&mut self, run: &mut Run, time: Duration) -> Result<()> {
        self.note(format_args!("a verifier, to be killed after {time:?}"))?;
        let mut verifier = Child::start(&Verifier::arguments(&self.url, &self.ledger.bounds()), &self.errors)?;
        std::thread::sleep(time);
        verifier.kill()?;
        let lines = verifier.rest()?;
        let end = verifier.end()?;
        self.verified(run, end, &lines)
    }

    /// Has a process look at the store, and kills it at a system call.
    pub(super) fn verify_up_to(&mut self, run: &mut Run, call: Call) -> Result<()> {
        self.note(format_args!("a verifier, to be killed at {call:?}"))?;
        let arguments = Verifier::arguments(&self.url, &self.ledger.bounds());
        let (end, lines) = Child::start_and_kill_at(&arguments, &self.errors, call)?;
        self.verified(run, end, &lines)
    }

    /// Has a process look at the store.
    pub(super) fn verify(&mut self, run: &mut Run) -> Result<()> {
        self.note(format_args!("a verifier"))?;
        let mut verifier = Child::start(&Verifier::arguments(&self.url, &self.ledger.bounds()), &self.errors)?;
        let lines = verifier.rest()?;
        let end = verifier.end()?;
        self.verified(run, end, &lines)?;
        match end {
            End::Done => Ok(()),
            End::Killed | End::KilledWriting => Err(Failure::not_run("somebody else has killed the verifier")),
        }
    }

    fn verified(&mut self, run: &mut Run, end: End, lines: &[String]) -> Result<()> {
        let has_found = lines.iter().any(|line| line.starts_with("FOUND "));
        run.figures.add("killed_verifying", u64::from(end != End::Done));
        run.figures.add("verified", u64::from(has_found));
        self.ended(run, end, lines)
    }

    /// A process has ended that has said these lines.
    fn ended(&mut self, run: &mut Run, end: End, lines: &[String]) -> Result<()> {
        run.figures.add("cut_writes", u64::from(end == End::KilledWriting));
        self.note(format_args!(
            "it has ended as {end:?}, and has said {} lines, the last `{}`",
            lines.len(),
            lines.last().map_or("", |line| line)
        ))?;
        self.ledger.hear(lines, &mut run.figures)?;
        if end != End::Done {
            self.ledger.cut_short();
        }
        self.note(format_args!("the threads' next numbers are {:?}", self.ledger.bounds()))
    }

    fn note(&mut self, what: fmt::Arguments<'_>) -> Result<()> {
        Ok(writeln!(self.history, "{what}")?)
    }
}
