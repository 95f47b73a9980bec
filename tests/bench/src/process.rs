//! What is measured in processes of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::figures::Figures;

/// How a process ends that has told its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Normal,
    Killed,
}

/// Runs this program's subcommand on `what`, and takes the figures that it prints.
pub(crate) fn in_a_process(
    subcommand: &str,
    what: &impl Serialize,
    folder: &Path,
    length: Duration,
    end: End,
) -> Result<Figures> {
    let what = serde_json::to_string(what)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([subcommand, &what, "--seconds", &length.as_secs_f64().to_string(), "--folder"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    if end == End::Killed {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    let has_ended_so = match end {
        End::Normal => output.status.success(),
        End::Killed => output.status.code().is_none(),
    };
    if !has_ended_so {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the {subcommand} {what} has ended with {}: {said}", output.status).into());
    }
    serde_json::from_str(&line).map_err(|error| format!("the {subcommand} {what} has printed no figures: {error}").into())
}
