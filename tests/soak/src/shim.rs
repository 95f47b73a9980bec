//! Puts a shim, `shim/shim.c`, between a process and a folder, to cut the power or have a call fail.

mod content;
mod disk;
mod log;
mod names;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use self::disk::Disk;
use crate::campaign::{Failure, Result};
use crate::child;

#[derive(Debug)]
pub(crate) struct Shim {
    library: PathBuf,
    folder: PathBuf,
    log: PathBuf,
}

/// What is to happen to a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// It is killed before this call, from 1.
    pub(crate) cut: Option<u64>,
    pub(crate) fault: Option<Fault>,
}

/// A call that fails, from 1, or the next one that can fail so.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) call: u64,
    /// The system's number of the error.
    pub(crate) error: i32,
    /// Later calls fail, too, until there is this file.
    pub(crate) until: Option<PathBuf>,
}

impl Shim {
    /// Builds the shim. The folder below `at` that it stands in front of is `disk`.
    pub(crate) fn build(at: &Path) -> Result<Self> {
        // The shim compares names of files as they are.
        let at = at.canonicalize()?;
        let library = compile(&at, "shim", include_str!("shim/shim.c"))?;
        Ok(Self { library, folder: at.join("disk"), log: at.join("log") })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// This program, with these arguments, behind the shim.
    pub(crate) fn command(&self, arguments: &[String], plan: &Plan) -> Result<Command> {
        if self.log.exists() {
            fs::remove_file(&self.log)?;
        }
        let mut command = child::command(arguments)?;
        command.env("LD_PRELOAD", &self.library).env("SHIM_FOLDER", &self.folder).env("SHIM_LOG", &self.log);
        if let Some(call) = plan.cut {
            command.env("SHIM_CUT", call.to_string());
        }
        if let Some(fault) = &plan.fault {
            command.env("SHIM_FAIL", fault.call.to_string()).env("SHIM_ERROR", fault.error.to_string());
            fault.until.iter().for_each(|file| {
                command.env("SHIM_LASTING", file);
            });
        }
        Ok(command)
    }

    /// Takes in what the process has done, which has ended; gives the calls that failed.
    pub(crate) fn hear(&self, disk: &mut Disk) -> Result<Vec<String>> {
        disk.hear(&self.log)
    }
}

/// Makes a shared library of C code.
pub(crate) fn compile(at: &Path, name: &str, code: &str) -> Result<PathBuf> {
    let (source, library) = (at.join(name).with_extension("c"), at.join(name).with_extension("so"));
    fs::write(&source, code)?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source);
    let output = command.output().map_err(|error| {
        Failure::not_run(format!("`cc` cannot be run ({error}); install a C compiler, such as the package gcc"))
    })?;
    if !output.status.success() {
        return Err(Failure::not_run(format!("`cc` has failed: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(library)
}
