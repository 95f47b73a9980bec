//! A process cannot be killed at a system call where there is no Linux.

use super::{Call, End};
use crate::campaign::{Failure, Result};

pub(super) const ARGUMENT: &str = "--traced";

/// Whether this process is one that another one may kill at a system call.
#[derive(Debug, clap::Args)]
pub(crate) struct Traced {}

impl Traced {
    pub(crate) fn begin(&self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn kill_at(_: u32, _: Call) -> Result<Option<End>> {
    Err(Failure::not_run("kills at system calls need Linux"))
}
