//! Processes that a campaign starts: this program again, with a hidden subcommand, so that nothing else need be built.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child as Process, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::campaign::{Failure, Result};

/// A child that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child, and the lines that it prints. It does not outlive its handle.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    lines: Receiver<String>,
}

impl Child {
    /// Starts this program with these arguments. What it says on standard error goes to `errors`.
    pub(crate) fn start(arguments: &[String], errors: &Path) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()?;
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
        Ok(Self { process, lines })
    }

    /// The next line; `None` if there will be no more.
    pub(crate) fn line(&self) -> Result<Option<String>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(Failure::new("stuck", format!("a child has said nothing for {} s", PATIENCE.as_secs())))
            }
        }
    }

    /// All further lines.
    pub(crate) fn rest(&self) -> Result<Vec<String>> {
        std::iter::from_fn(|| self.line().transpose()).collect()
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }

    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already, or is of no use any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
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
