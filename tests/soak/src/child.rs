//! Processes that a campaign starts: this program again, with a hidden subcommand, so that nothing else need be built.

#[cfg_attr(target_os = "linux", path = "child/traced.rs")]
#[cfg_attr(not(target_os = "linux"), path = "child/untraced.rs")]
mod traced;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub(crate) use self::traced::Traced;
use crate::campaign::{Failure, Result};

/// A child that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child, and the lines that it prints. It does not outlive its handle.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    lines: Receiver<String>,
    errors: PathBuf,
    /// Whether another one may have its process id by now.
    is_over: bool,
}

/// Where a child is killed: at a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// This one or the first one behind it that is of the kind, counted from 1.
    pub(crate) number: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any call, as it begins.
    Any,
    /// As it gives a file another name, before it has it.
    Renaming,
    /// In the middle of a large write, when this part of it is done.
    Writing(f64),
}

/// How a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    KilledRenaming,
    KilledWriting,
    /// By itself, with success.
    Done,
}

impl Child {
    /// Starts this program with these arguments. What it says on standard error goes to `errors`.
    pub(crate) fn start(arguments: &[String], errors: &Path) -> Result<Self> {
        Self::spawn(command(arguments)?, errors)
    }

    /// Runs a command. What it says on standard error goes to `errors`.
    pub(crate) fn spawn(mut command: Command, errors: &Path) -> Result<Self> {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(errors)?).spawn()?;
        let (sender, lines) = channel();
        let out = process.stdout.take().ok_or_else(|| Failure::not_run("a child has no output"))?;
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = String::new();
            // A line that was cut short was not said.
            while out.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Ok(Self { process, lines, errors: errors.to_owned(), is_over: false })
    }

    /// Starts it, and kills it at one of its system calls, unless it has ended before. Gives what it has said, too.
    pub(crate) fn start_and_kill_at(arguments: &[String], errors: &Path, call: Call) -> Result<(End, Vec<String>)> {
        let mut child = Self::start(&[arguments, &[traced::ARGUMENT.to_owned()]].concat(), errors)?;
        let end = traced::kill_at(child.process.id(), call)?;
        child.is_over = true;
        let lines = child.rest()?;
        match end {
            Some(end) => Ok((end, lines)),
            None => Err(child.failed()),
        }
    }

    /// The next line; `None` if there will be no more.
    pub(crate) fn line(&self) -> Result<Option<String>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(stuck()),
        }
    }

    /// All further lines.
    pub(crate) fn rest(&self) -> Result<Vec<String>> {
        std::iter::from_fn(|| self.line().transpose()).collect()
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }

    /// Asks it to end.
    #[cfg(target_os = "linux")]
    pub(crate) fn terminate(&self) -> Result<()> {
        Ok(nix::sys::signal::kill(self.id(), nix::sys::signal::Signal::SIGTERM)?)
    }

    /// Kills it and what it has started. It has to be one that was given a process group of its own.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill_group(&self) -> Result<()> {
        Ok(nix::sys::signal::killpg(self.id(), nix::sys::signal::Signal::SIGKILL)?)
    }

    #[cfg(target_os = "linux")]
    fn id(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.process.id().cast_signed())
    }

    /// Waits until it has ended.
    pub(crate) fn end(&mut self) -> Result<End> {
        match self.process.wait()?.code() {
            None => Ok(End::Killed),
            Some(0) => Ok(End::Done),
            Some(_) => Err(self.failed()),
        }
    }

    /// The failure of a child that has ended with an error.
    fn failed(&self) -> Failure {
        let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
        Failure::new("failed", format!("a child has ended by itself: {}", said.trim_end()))
    }
}

/// This program, with these arguments.
pub(crate) fn command(arguments: &[String]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

fn stuck() -> Failure {
    Failure::new("stuck", format!("a child has said nothing for {} s", PATIENCE.as_secs()))
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_over {
            // It has ended already, or is of no use any more.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// How a child ends.
pub(crate) fn end(result: std::result::Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
