//! What this process takes of the system.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::campaign::{Failure, Result};
use crate::figures::Figures;

/// Threads, but for those of sled's own pool, and open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) threads: u64,
    pub(super) files: u64,
}

impl Taken {
    pub(super) fn now() -> Result<Self> {
        Ok(Self { threads: threads()?.len() as u64, files: fs::read_dir("/proc/self/fd")?.count() as u64 })
    }

    /// Whether nothing more is taken than `before`.
    pub(super) fn is_no_more_than(self, before: Self) -> bool {
        self.threads <= before.threads && self.files <= before.files
    }
}

/// The names of all threads that count. sled starts more than its seven when it has much to write, and the last one of them never ends.
fn threads() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        // One that has just ended has no name any more.
        names.extend(fs::read_to_string(task?.path().join("comm")));
    }
    names.retain(|name| !name.starts_with("sled-io-"));
    Ok(names)
}

/// By how much memory may grow between the second quarter of the time and the last one, in KiB: less than what comes and goes.
const GROWTH: u64 = 64 << 10;

/// The memory in use, in KiB, from time to time.
#[derive(Debug, Default)]
pub(super) struct Memory(Vec<u64>);

impl Memory {
    pub(super) fn sample(&mut self) -> Result<()> {
        self.0.push(status("VmRSS:")?);
        Ok(())
    }

    fn most(&self) -> u64 {
        self.0.iter().max().copied().unwrap_or_default()
    }

    /// The most in a quarter, from 0.
    fn most_in(&self, quarter: usize) -> u64 {
        let length = self.0.len();
        self.0[length * quarter / 4..length * (quarter + 1) / 4].iter().max().copied().unwrap_or_default()
    }

    fn growth(&self) -> u64 {
        self.most_in(3).saturating_sub(self.most_in(1))
    }

    pub(super) fn tell(&self, figures: &mut Figures) {
        figures.add("memory_kib", self.most());
        figures.add("growth_kib", self.growth());
    }

    /// Whether it has stayed within bounds.
    pub(super) fn check(&self, bound: u64) -> Result<()> {
        if self.growth() <= GROWTH && self.most() <= bound {
            return Ok(());
        }
        let what = format!("memory grew by {} KiB, to {} KiB at the most: {:?}", self.growth(), self.most(), self.0);
        Err(Failure::new("grown", what))
    }
}

/// How long the disk takes, which others use too.
#[derive(Debug, Default)]
pub(super) struct Disk(Duration);

impl Disk {
    /// Has it write something, and returns how long it has taken at the most so far.
    pub(super) fn sample(&mut self, folder: &Path) -> Result<Duration> {
        let start = Instant::now();
        let mut file = fs::File::create(folder.join("probe"))?;
        file.write_all(b"something")?;
        file.sync_all()?;
        self.0 = self.0.max(start.elapsed());
        Ok(self.0)
    }

    pub(super) fn longest(&self) -> Duration {
        self.0
    }
}

/// A number that the system says of this process.
fn status(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failure::not_run(format!("the system does not say `{name}`")))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread::Builder;

    use super::*;

    #[test]
    fn threads_count_but_not_those_of_sled() {
        let barrier = Barrier::new(3);
        let wait = || {
            barrier.wait();
            barrier.wait();
        };
        std::thread::scope(|scope| {
            for name in ["sled-io-9", "another"] {
                Builder::new().name(name.to_owned()).spawn_scoped(scope, wait).expect("a thread");
            }
            // They have begun, and so have their names.
            barrier.wait();
            let names = threads().expect("names");
            assert!(names.contains(&"another\n".to_owned()), "{names:?}");
            assert!(!names.contains(&"sled-io-9\n".to_owned()), "{names:?}");
            barrier.wait();
        });
    }

    #[test]
    fn memory_is_bounded_and_does_not_grow() {
        let memory = |samples: &[u64]| Memory(samples.to_vec()).check(200_000);
        assert!(memory(&[10_000, 100_000, 100_000, 101_000]).is_ok(), "the first quarter does not count");
        assert!(memory(&[100_000, 10_000, 10_000, 150_000]).is_err());
        assert!(memory(&[1, 1, 300_000, 1]).is_err());
        assert!(memory(&[]).is_ok());
    }
}
