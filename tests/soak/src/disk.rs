//! The campaign `disk`: a call on the disk fails, or the disk is full, or cannot be written to. What was acknowledged must be there,
//! and the store must open again when the trouble is over, and say clearly what it was before.
//!
//! In round N, the Nth call of a process on its files fails: once, or from then on until the process has given up. Then the same
//! process opens the store again, or the power is cut.

mod faulty;
mod mount;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

pub(crate) use self::faulty::Faulty;
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::child::{self, Child, End};
use crate::crash::{Ledger, Verifier};
use crate::engine::Engine;
use crate::shim::{self, Fault, Plan, Shim};

/// Has the disk of a process that writes fail, and looks at what is left.
#[derive(Debug, clap::Args)]
pub(crate) struct Disk {
    #[command(flatten)]
    settings: Settings,
    /// In the first round, it is this call that fails.
    #[arg(long, default_value_t = 1)]
    first_call: u64,
    /// How many threads write.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// After so many rounds, there is a disk that is really full, and one that cannot be written to.
const MOUNTED: u64 = 50;

impl Campaign for Disk {
    const NAME: &'static str = "disk";
    const ENGINES: &'static [Engine] = &[Engine::Sled, Engine::Fjall];
    const ROUNDS: u64 = 200;
    const WRONG: &'static [&'static str] =
        &["lost", "torn", "invented", "unopenable", "unreadable", "failed", "stuck", "unclear", "panicked"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        vec![format!("--threads {} --first-call {}", self.threads, self.first_call)]
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let mut site = Site::new(run, self.threads)?;
        let mut can_mount = true;
        while let Some(round) = run.next_round() {
            for error in [EIO, ENOSPC] {
                site.fault(round + self.first_call, error, run)?;
            }
            if can_mount && round.is_multiple_of(MOUNTED) {
                can_mount = mount::run(self.threads, run)?;
            }
        }
        if !can_mount {
            println!("nothing can be mounted here, so there was no disk that is really full or cannot be written to");
        }
        let rounds = run.rounds();
        // Once in two, at least, the store was open by then.
        let rare = if rounds < 100 { 0 } else { rounds };
        // The first calls are those of an opening.
        let refused = if self.first_call == 1 { rare / 20 } else { 0 };
        let least = [("faults", 2 * rounds), ("refused", refused), ("errors", rare), ("acknowledged", 20 * rounds)];
        least.into_iter().try_for_each(|(figure, least)| run.figures.at_least(figure, least))
    }
}

/// The one store that the campaign works on, behind a shim.
struct Site {
    shim: Shim,
    /// `None` only while the power is being cut.
    disk: Option<shim::Disk>,
    url: String,
    errors: PathBuf,
    /// Once there is this file, the fault is over.
    mended: PathBuf,
    threads: u64,
    ledger: Ledger,
    /// For people: what was done with the store.
    history: File,
}

impl Site {
    fn new(run: &Run, threads: u64) -> Result<Self> {
        let shim = Shim::build(&run.folder)?;
        let (url, errors) = (run.engine.url_in(&shim.folder().join("new/store")), run.folder.join("errors"));
        let history = File::create(run.folder.join("history"))?;
        let mended = run.folder.join("mended");
        let disk = Some(shim::Disk::make(shim.folder())?);
        Ok(Self { shim, disk, url, errors, mended, threads, ledger: Ledger::new(threads as usize), history })
    }

    /// Has a process write whose call of this number fails.
    fn fault(&mut self, call: u64, error: i32, run: &mut Run) -> Result<()> {
        if run.random.bool() {
            self.disk = Some(shim::Disk::make(self.shim.folder())?);
            self.ledger = Ledger::new(self.threads as usize);
            self.history = File::create(run.folder.join("history"))?;
            run.figures.add("stores", 1);
        }
        if self.mended.exists() {
            fs::remove_file(&self.mended)?;
        }
        let until = run.random.bool().then(|| self.mended.clone());
        let leaves = run.random.u8(..3) == 0;
        // Each thread waits for its own numbers, which takes two calls.
        let faulty = Faulty {
            url: self.url.clone(),
            numbers: call / 2 + 8,
            mend: until.as_ref().map(|file| format!("touch '{}'", file.display())),
            leaves,
            bounds: self.ledger.bounds(),
        };
        writeln!(self.history, "call {call} fails with {error} until {until:?}; {faulty:?}")?;
        let plan = Plan { cut: None, fault: Some(Fault { call, error, until }) };
        let failed = self.child(&faulty.arguments(), &plan, run)?;
        writeln!(self.history, "failed: {failed:?}; next numbers {:?}", self.ledger.bounds())?;
        run.figures.add("faults", u64::from(!failed.is_empty()));
        if run.random.bool()
            && let Some(disk) = self.disk.take()
        {
            let mixes = run.random.bool();
            let (disk, what) = disk.cut(mixes, run)?;
            writeln!(self.history, "the power is cut: {what}")?;
            self.disk = Some(disk);
        }
        self.child(&Verifier::arguments(&self.url, &self.ledger.bounds()), &Plan::default(), run)?;
        Ok(())
    }

    fn child(&mut self, arguments: &[String], plan: &Plan, run: &mut Run) -> Result<Vec<String>> {
        let mut child = Child::spawn(self.shim.command(arguments, plan)?, &self.errors)?;
        let said = listen(&mut child, &mut self.ledger, run);
        if said.is_err()
            && let Some(disk) = self.disk.take()
        {
            // As it was before the process looked at it, and changed it.
            disk.copy_to(&run.folder.join("before"))?;
        }
        said?;
        let disk = self.disk.as_mut().ok_or_else(|| Failure::not_run("there is no disk"))?;
        let failed = self.shim.hear(disk)?;
        disk.check()?;
        Ok(failed)
    }
}

/// Takes in what a child says, up to its end.
fn listen(child: &mut Child, ledger: &mut Ledger, run: &mut Run) -> Result<()> {
    let lines = child.rest()?;
    fs::write(run.folder.join("said"), lines.join("\n"))?;
    let end = child.end()?;
    let mut is_open = false;
    let (own, said): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| faulty::is_own(line));
    for line in own {
        match faulty::read(&line)? {
            faulty::Line::Refused => run.figures.add("refused", 1),
            faulty::Line::Error { is_indeterminate } => {
                run.figures.add("errors", 1);
                run.figures.add("indeterminate", u64::from(is_indeterminate));
                is_open |= is_indeterminate;
            }
            faulty::Line::LibraryPanic => run.figures.add("library_panics", 1),
        }
    }
    ledger.hear(&said, &mut run.figures)?;
    if is_open {
        ledger.cut_short();
    }
    match end {
        End::Done => Ok(()),
        End::Killed | End::KilledRenaming | End::KilledWriting => Err(Failure::new("panicked", "a child was ended by a signal")),
    }
}

/// Has a process write to a store, in front of which there is no shim, and verifies what is left.
fn write_and_verify(faulty: &Faulty, ledger: &mut Ledger, run: &mut Run) -> Result<()> {
    for arguments in [faulty.arguments(), Vec::new()] {
        let arguments = if arguments.is_empty() { Verifier::arguments(&faulty.url, &ledger.bounds()) } else { arguments };
        let mut child = Child::spawn(child::command(&arguments)?, &run.folder.join("errors"))?;
        listen(&mut child, ledger, run)?;
    }
    Ok(())
}
