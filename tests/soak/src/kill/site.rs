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

    /// Has a process write until it is killed.
    pub(super) fn write(&mut self, run: &mut Run, mode: Mode, moment: Moment) -> Result<()> {
        self.note(format_args!("a writer, {mode}, {moment:?}"))?;
        let arguments = Writer::arguments(&self.url, mode, self.threads);
        let (end, lines) = match moment {
            Moment::Early(delay) => self.kill_at(&arguments, 0, delay)?,
            Moment::Later(lines, delay) => self.kill_at(&arguments, lines, delay)?,
            Moment::Call(call) => Child::start_and_kill_at(&arguments, &self.errors, call)?,
        };
        run.figures.add("killed_at_call", u64::from(matches!(moment, Moment::Call(_))));
        run.figures.add("killed_opening", u64::from(lines.is_empty()));
        self.ended(run, end, &lines)
    }

    /// Has a process look at the store, and kills it after a while.
    pub(super) fn verify_for(&mut self, run: &mut Run, time: Duration) -> Result<()> {
        self.note(format_args!("a verifier, for {time:?}"))?;
        let (end, lines) = self.kill_at(&self.verifier(), 0, time)?;
        self.verified(run, end, &lines)
    }

    /// Has a process look at the store, and kills it at a system call.
    pub(super) fn verify_up_to(&mut self, run: &mut Run, call: Call) -> Result<()> {
        self.note(format_args!("a verifier, {call:?}"))?;
        let (end, lines) = Child::start_and_kill_at(&self.verifier(), &self.errors, call)?;
        self.verified(run, end, &lines)
    }

    /// Has a process look at the store.
    pub(super) fn verify(&mut self, run: &mut Run) -> Result<()> {
        self.note(format_args!("a verifier"))?;
        let mut verifier = Child::start(&self.verifier(), &self.errors)?;
        let lines = verifier.rest()?;
        let end = verifier.end()?;
        self.verified(run, end, &lines)?;
        match end {
            End::Done => Ok(()),
            _ => Err(Failure::not_run("somebody else has killed the verifier")),
        }
    }

    fn verifier(&self) -> Vec<String> {
        Verifier::arguments(&self.url, &self.ledger.bounds())
    }

    /// Starts a process, and kills it so long after it has said so many lines.
    fn kill_at(&self, arguments: &[String], wanted: usize, delay: Duration) -> Result<(End, Vec<String>)> {
        let mut child = Child::start(arguments, &self.errors)?;
        let mut lines = Vec::new();
        while lines.len() < wanted
            && let Some(line) = child.line()?
        {
            lines.push(line);
        }
        std::thread::sleep(delay);
        child.kill()?;
        lines.extend(child.rest()?);
        Ok((child.end()?, lines))
    }

    fn verified(&mut self, run: &mut Run, end: End, lines: &[String]) -> Result<()> {
        let has_found = lines.iter().any(|line| line.starts_with("FOUND "));
        run.figures.add("killed_verifying", u64::from(end != End::Done));
        run.figures.add("verified", u64::from(has_found));
        self.ended(run, end, lines)
    }

    /// A process has ended that has said these lines.
    fn ended(&mut self, run: &mut Run, end: End, lines: &[String]) -> Result<()> {
        run.figures.add("killed_renaming", u64::from(end == End::KilledRenaming));
        run.figures.add("killed_writing", u64::from(end == End::KilledWriting));
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
