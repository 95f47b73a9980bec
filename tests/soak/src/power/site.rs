//! The one store that the campaign works on, behind a shim, and what has happened to it.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::Moment;
use crate::campaign::{Failure, Result, Run};
use crate::child::{Child, End};
use crate::crash::{Ledger, Mode, Verifier, Writer};
use crate::shim::{Disk, Plan, Shim};

pub(super) struct Site {
    shim: Shim,
    /// `None` only while the power is being cut.
    disk: Option<Disk>,
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
        let shim = Shim::build(&run.folder)?;
        let (url, errors) = (run.engine.url_in(&shim.folder().join("new/store")), run.folder.join("errors"));
        let history = File::create(run.folder.join("history"))?;
        let mut site = Self { shim, disk: None, url, errors, threads, ledger: Ledger::new(0), history };
        site.begin_anew(run)?;
        Ok(site)
    }

    /// From here on, there is no store yet.
    pub(super) fn begin_anew(&mut self, run: &mut Run) -> Result<()> {
        self.disk = Some(Disk::make(self.shim.folder())?);
        self.history = File::create(run.folder.join("history"))?;
        self.ledger = Ledger::new(self.threads as usize);
        run.figures.add("stores", 1);
        Ok(())
    }

    /// Has a process write until it is killed.
    pub(super) fn write(&mut self, run: &mut Run, mode: Mode, moment: Moment) -> Result<()> {
        self.note(format_args!("a {mode} writer, to be killed: {moment:?}"))?;
        let (end, lines) = self.child(&Writer::arguments(&self.url, mode, self.threads), Some(moment))?;
        run.figures.add("cut_opening", u64::from(lines.is_empty()));
        self.ended(run, end, &lines)
    }

    /// Has a process look at the store and write to it, and kills it, unless it has ended before.
    pub(super) fn verify_up_to(&mut self, run: &mut Run) -> Result<()> {
        let moment = Moment::early(&mut run.random);
        self.note(format_args!("a verifier, to be killed: {moment:?}"))?;
        let (end, lines) = self.child(&Verifier::arguments(&self.url, &self.ledger.bounds()), Some(moment))?;
        run.figures.add("cut_verifying", u64::from(end != End::Done));
        self.ended(run, end, &lines)
    }

    /// Has a process look at the store, and write to it.
    pub(super) fn verify(&mut self, run: &mut Run) -> Result<()> {
        self.note(format_args!("a verifier"))?;
        let (end, lines) = self.child(&Verifier::arguments(&self.url, &self.ledger.bounds()), None)?;
        run.figures.add("verified", u64::from(lines.iter().any(|line| line.starts_with("FOUND "))));
        self.ended(run, end, &lines)?;
        match end {
            End::Done => Ok(()),
            End::Killed | End::KilledRenaming | End::KilledWriting => {
                Err(Failure::not_run("somebody else has killed the verifier"))
            }
        }
    }

    fn child(&self, arguments: &[String], moment: Option<Moment>) -> Result<(End, Vec<String>)> {
        let cut = match moment {
            Some(Moment::Call(call)) => Some(call),
            Some(Moment::After(_)) | None => None,
        };
        let mut child = Child::spawn(self.shim.command(arguments, &Plan { cut, fault: None })?, &self.errors)?;
        if let Some(Moment::After(time)) = moment {
            std::thread::sleep(time);
            child.terminate()?;
        }
        let lines = child.rest()?;
        Ok((child.end()?, lines))
    }

    /// A process has ended that has said these lines.
    fn ended(&mut self, run: &mut Run, end: End, lines: &[String]) -> Result<()> {
        let last = lines.last().map_or("", |line| line);
        self.note(format_args!("it has ended as {end:?}, and has said {} lines, the last `{last}`", lines.len()))?;
        let heard = self.ledger.hear(lines, &mut run.figures);
        let Some(disk) = &mut self.disk else { return heard };
        if let Err(failure) = heard {
            // As it was before the process looked at it, and changed it.
            let kept = run.folder.join("before");
            if let Some(disk) = self.disk.take() {
                disk.copy_to(&kept)?;
            }
            return Err(failure);
        }
        self.shim.hear(disk)?;
        disk.check()?;
        if end != End::Done {
            self.ledger.cut_short();
        }
        self.note(format_args!("the threads' next numbers are {:?}", self.ledger.bounds()))
    }

    /// Cuts the power: what is not durable may be gone.
    pub(super) fn cut(&mut self, mixes: bool, run: &mut Run) -> Result<()> {
        if let Some(disk) = self.disk.take() {
            let (disk, what) = disk.cut(mixes, run)?;
            self.note(format_args!("the power is cut: {what}"))?;
            self.disk = Some(disk);
        }
        Ok(())
    }

    fn note(&mut self, what: fmt::Arguments<'_>) -> Result<()> {
        Ok(writeln!(self.history, "{what}")?)
    }
}
