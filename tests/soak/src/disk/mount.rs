//! A disk that is really full, and one that cannot be written to: small file systems in memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Faulty, write_and_verify};
use crate::campaign::{Failure, Result, Run};
use crate::crash::Ledger;

/// A file system that is mounted as long as this is there.
struct Mount(PathBuf);

impl Mount {
    /// `None` if this process may not mount anything.
    fn new(folder: &Path, mebibytes: u64) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let options = format!("size={mebibytes}m");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output()?;
        Ok(output.status.success().then(|| Self(folder.to_owned())))
    }

    /// The command that mounts it again, with other options.
    fn again(&self, options: &str) -> String {
        format!("mount -o remount,{options} '{}'", self.0.display())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // If that fails, a small file system is left.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Fills a disk; then has it read-only for a while. Whether that can be done here.
pub(super) fn run(threads: u64, run: &mut Run) -> Result<bool> {
    let Some(mount) = Mount::new(&run.folder.canonicalize()?.join("mount"), run.random.u64(18..40))? else { return Ok(false) };
    let url = run.engine.url_in(&mount.0.join("store"));
    let mut ledger = Ledger::new(threads as usize);
    let mut faulty = |numbers, mend, run: &mut Run| {
        let (url, bounds) = (url.clone(), ledger.bounds());
        write_and_verify(&Faulty { url, numbers, mend: Some(mend), leaves: false, bounds }, &mut ledger, run)
    };
    let trouble = |run: &Run| run.figures.get("errors") + run.figures.get("refused");
    let before = trouble(run);
    faulty(1_000_000, mount.again("size=1g"), run)?;
    if trouble(run) == before {
        return Err(Failure::not_run("the disk did not become full"));
    }
    run.figures.add("full_disks", 1);
    let status = Command::new("sh").args(["-c", &mount.again("ro")]).status()?;
    let before = run.figures.get("refused");
    faulty(1, mount.again("rw"), run)?;
    if !status.success() || run.figures.get("refused") == before {
        return Err(Failure::not_run("the disk did not become read-only"));
    }
    run.figures.add("read_only_disks", 1);
    Ok(true)
}
