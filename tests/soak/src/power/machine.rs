//! Real power cuts: Linux as a process (user-mode Linux), with a file system on a disk image, is killed.
//!
//! The machine has the host's files, to read, and its own disk at `/mnt`. Each time, it verifies what the last one has left, and
//! then writes until it is killed.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{AGE, Power};
use crate::campaign::{Failure, Result, Run};
use crate::child::Child;
use crate::crash::{Ledger, Verifier, Writer};
use crate::shim::compile;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum FileSystem {
    Ext4,
    Xfs,
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}

/// XFS wants 300 MiB at least.
const DISK_BYTES: u64 = 400 << 20;

/// Said by the machine itself, beside what its processes say.
const MOUNTED: &str = "MOUNTED";
const VERIFIED: &str = "VERIFIED";

pub(super) fn run(power: &Power, system: FileSystem, run: &mut Run) -> Result<()> {
    let mut machine = Machine::new(power, system, run)?;
    while let Some(round) = run.next_round() {
        if round > 0 && run.random.u64(..AGE) == 0 {
            // What it has left is looked at first.
            machine.start(power, None, run)?;
            machine.begin_anew(run)?;
        }
        let moment = Moment::any(&mut run.random);
        machine.start(power, Some(moment), run)?;
    }
    machine.start(power, None, run)?;
    let rounds = run.rounds();
    let least = [("acknowledged", 20 * rounds), ("verified", rounds / 2)];
    least.into_iter().try_for_each(|(figure, least)| run.figures.at_least(figure, least))
}

/// When the machine is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after its disk was mounted.
    Verifying(Duration),
    /// So long after it began to write.
    Writing(Duration),
}

impl Moment {
    fn any(random: &mut fastrand::Rng) -> Self {
        if random.u8(..5) == 0 {
            Self::Verifying(Duration::from_millis(random.u64(..400)))
        } else {
            Self::Writing(Duration::from_millis(random.u64(..2_500)))
        }
    }
}

struct Machine {
    system: FileSystem,
    disk: PathBuf,
    xstate: PathBuf,
    url: String,
    folder: PathBuf,
    ledger: Ledger,
}

impl Machine {
    fn new(power: &Power, system: FileSystem, run: &mut Run) -> Result<Self> {
        // The machine's folder is another one.
        let folder = run.folder.canonicalize()?;
        let xstate = compile(&folder, "xstate", include_str!("xstate.c"))?;
        call(Command::new("linux.uml").arg("--version"))?;
        let url = run.engine.url_in("/mnt/store".as_ref());
        let ledger = Ledger::new(power.threads as usize);
        let mut machine = Self { system, disk: folder.join("image"), xstate, url, folder, ledger };
        machine.begin_anew(run)?;
        Ok(machine)
    }

    /// From here on, the disk is empty.
    fn begin_anew(&mut self, run: &mut Run) -> Result<()> {
        let disk = File::create(&self.disk)?;
        disk.set_len(0)?;
        disk.set_len(DISK_BYTES)?;
        let force = match self.system {
            FileSystem::Ext4 => "-F",
            FileSystem::Xfs => "-f",
        };
        call(Command::new(format!("mkfs.{}", self.system)).args(["-q", force]).arg(&self.disk))?;
        self.ledger = Ledger::new(self.ledger.bounds().len());
        run.figures.add("stores", 1);
        Ok(())
    }

    /// Has the machine verify, and write until it is killed. Without a moment, it is killed when it has verified.
    fn start(&mut self, power: &Power, moment: Option<Moment>, run: &mut Run) -> Result<()> {
        let mode = power.mode(&mut run.random);
        // What was said and not yet printed is lost with the machine, so there is no telling how much was written.
        let bounds: Vec<_> = self.ledger.bounds().into_iter().map(|bounds| *bounds.start()..=u64::MAX).collect();
        let verifier = Verifier::arguments(&self.url, &bounds);
        let writer = Writer::arguments(&self.url, mode, power.threads);
        let mut machine = Child::spawn(self.command(&verifier, &writer)?, &self.folder.join("errors"))?;
        let heard = hear_until_killed(&machine, moment);
        machine.kill_group()?;
        let mut lines = heard?;
        lines.extend(machine.rest()?);
        machine.end()?;
        run.figures.add("cuts", 1);
        if !lines.iter().any(|line| line == MOUNTED) {
            return Err(Failure::not_run(format!("the machine has not come up; it has said {lines:?}")));
        }
        let words = ["OPEN", "ACK ", "DONE ", "SAW ", "FOUND ", "WRONG ", "OK"];
        let said: Vec<String> = lines.into_iter().filter(|line| words.iter().any(|word| line.starts_with(word))).collect();
        run.figures.add("verified", u64::from(said.iter().any(|line| line.starts_with("FOUND "))));
        self.ledger.hear(&said, &mut run.figures)?;
        self.ledger.cut_short();
        Ok(())
    }

    fn command(&self, verifier: &[String], writer: &[String]) -> Result<Command> {
        let soak = std::env::current_exe()?.display().to_string();
        let call = |arguments: &[String]| {
            let words = std::iter::once(&soak).chain(arguments);
            words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
        };
        let script = self.folder.join("init");
        let content = format!(
            "#!/bin/sh\n\
             export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
             mount -t proc proc /proc\n\
             mount -t devtmpfs dev /dev\n\
             mount -t {} /dev/ubda /mnt && echo {MOUNTED} && {} && echo {VERIFIED} && {}\n\
             sleep 1000000\n",
            self.system,
            call(verifier),
            call(writer)
        );
        fs::write(&script, content)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new("linux.uml");
        command
            .args(["mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"])
            .args(["con=null", "con0=fd:0,fd:1", "ssl=null"])
            .arg(format!("uml_dir={}", self.folder.join("uml").display()))
            .arg(format!("ubd0={}", self.disk.display()))
            .arg(format!("init={}", script.display()))
            .env("LD_PRELOAD", &self.xstate)
            .process_group(0);
        Ok(command)
    }
}

fn hear_until_killed(machine: &Child, moment: Option<Moment>) -> Result<Vec<String>> {
    let (last, time) = match moment {
        Some(Moment::Verifying(time)) => (MOUNTED, time),
        Some(Moment::Writing(time)) => ("OPEN", time),
        None => (VERIFIED, Duration::ZERO),
    };
    let mut lines = Vec::new();
    while let Some(line) = machine.line()? {
        let is_last = line == last || line.starts_with("WRONG ");
        lines.push(line);
        if is_last {
            break;
        }
    }
    std::thread::sleep(time);
    Ok(lines)
}

/// Calls a program that may not be installed.
fn call(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::not_run(format!(
            "`{program}` is missing; install the packages user-mode-linux, e2fsprogs and xfsprogs, as Debian calls them"
        )),
        _ => Failure::from(error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::not_run(format!("`{program}` has failed: {}", String::from_utf8_lossy(&output.stderr))))
}
