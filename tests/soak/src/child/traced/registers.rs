//! What a thread is about to ask of the system, as its registers say.

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::campaign::Result;

/// A kill cuts a write of more than a page only, since that is written page by page.
const PAGE: u64 = 4096;
/// `write` and `pwrite64`.
const WRITES: [u64; 2] = [1, 18];
/// `rename`, `renameat` and `renameat2`.
const RENAMES: [u64; 3] = [82, 264, 316];

/// Has a write write this part of its bytes only; whether it is one that a kill can cut.
pub(super) fn cut_write(thread: Pid, part: f64) -> Result<bool> {
    let mut registers = ptrace::getregs(thread)?;
    if !WRITES.contains(&registers.orig_rax) || registers.rdx <= PAGE {
        return Ok(false);
    }
    let pages = (registers.rdx - 1) / PAGE;
    registers.rdx = PAGE * ((pages as f64 * part) as u64).clamp(1, pages);
    ptrace::setregs(thread, registers)?;
    Ok(true)
}

/// Whether it gives a file another name.
pub(super) fn is_rename(thread: Pid) -> Result<bool> {
    Ok(RENAMES.contains(&ptrace::getregs(thread)?.orig_rax))
}
