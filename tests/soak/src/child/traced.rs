//! Kills a child at one of its system calls. They are counted for all of its threads together, from where it says that it begins.

#[cfg_attr(target_arch = "x86_64", path = "traced/registers.rs")]
#[cfg_attr(not(target_arch = "x86_64"), path = "traced/unknown.rs")]
mod registers;

use std::collections::HashSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use self::registers::{cut_write, is_rename};
use super::{Call, End, Kind, PATIENCE, stuck};
use crate::campaign::{Failure, Result};

/// If there is no call of the wanted kind among so many, any will do.
const SEARCHED: u64 = 20_000;

pub(super) const ARGUMENT: &str = "--traced";

/// Whether this process is one that another one may kill at a system call.
#[derive(Debug, clap::Args)]
pub(crate) struct Traced {
    /// Waits until another process follows the system calls of this one.
    #[arg(long)]
    traced: bool,
}

impl Traced {
    /// From here on, system calls count.
    pub(crate) fn begin(&self) -> nix::Result<()> {
        if self.traced {
            ptrace::traceme()?;
            raise(Signal::SIGSTOP)?;
        }
        Ok(())
    }
}

/// Kills the child at a call; `None` if it has ended by itself before, with an error.
pub(super) fn kill_at(child: u32, call: Call) -> Result<Option<End>> {
    let child = Pid::from_raw(child.cast_signed());
    match waitpid(child, Some(WaitPidFlag::WUNTRACED)) {
        Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => {}
        other => return Err(Failure::not_run(format!("a child cannot be followed with ptrace: {other:?}"))),
    }
    ptrace::setoptions(child, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL)?;
    let _watch = watch(child);
    Tracer { child, call, calls: 0, inside: HashSet::new(), writing: None, end: None }.run()
}

/// Kills the child if it does not come to an end in time.
fn watch(child: Pid) -> Sender<()> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // It may have ended just now.
            let _ = kill(child, Signal::SIGKILL);
        }
    });
    sender
}

struct Tracer {
    child: Pid,
    call: Call,
    /// How many there were.
    calls: u64,
    /// Threads that are in a system call.
    inside: HashSet<Pid>,
    /// The one whose write is cut: it is killed when that part is written.
    writing: Option<Pid>,
    /// How the child is to end, once that is so.
    end: Option<End>,
}

impl Tracer {
    fn run(mut self) -> Result<Option<End>> {
        go_on(self.child, None)?;
        loop {
            // Other children would have to be told apart here; there are none while this one is followed.
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::PtraceSyscall(thread) => self.at_call(thread)?,
                WaitStatus::PtraceEvent(thread, ..) | WaitStatus::Stopped(thread, Signal::SIGSTOP) => go_on(thread, None)?,
                WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal))?,
                WaitStatus::Exited(thread, code) if thread == self.child => return Ok((code == 0).then_some(End::Done)),
                WaitStatus::Signaled(thread, Signal::SIGKILL, _) if thread == self.child => {
                    return self.end.map(Some).ok_or_else(stuck);
                }
                WaitStatus::Signaled(thread, signal, _) if thread == self.child => {
                    return Err(Failure::new("failed", format!("a child was ended by {signal}")));
                }
                _ => {}
            }
        }
    }

    /// A thread begins or ends a call.
    fn at_call(&mut self, thread: Pid) -> Result<()> {
        if self.inside.remove(&thread) {
            if self.writing == Some(thread) {
                return self.kill(End::KilledWriting);
            }
        } else {
            self.inside.insert(thread);
            self.calls += 1;
            if self.writing.is_none() && self.calls >= self.call.number {
                match self.call.kind {
                    Kind::Writing(part) if cut_write(thread, part)? => self.writing = Some(thread),
                    Kind::Renaming if is_rename(thread)? => return self.kill(End::KilledRenaming),
                    Kind::Writing(_) | Kind::Renaming if self.calls < self.call.number + SEARCHED => {}
                    _ => return self.kill(End::Killed),
                }
            }
        }
        go_on(thread, None)
    }

    fn kill(&mut self, end: End) -> Result<()> {
        self.end = Some(end);
        Ok(kill(self.child, Signal::SIGKILL)?)
    }
}

/// Lets a thread go on up to the next thing of interest.
fn go_on(thread: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(thread, signal) {
        // It was killed meanwhile, with all others.
        Err(nix::errno::Errno::ESRCH) => Ok(()),
        went_on => Ok(went_on?),
    }
}
