//! What this process has used, as Linux tells it.

use std::fs::read_to_string;
use std::time::Duration;

/// The kernel's unit of processor time, the same on all of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Bytes handed to the system to be written.
    pub(crate) written: u64,
    /// The most memory that it had, in bytes.
    peak: u64,
}

impl Usage {
    pub(crate) fn peak_mib(self) -> f64 {
        self.peak as f64 / f64::from(1 << 20)
    }
}

pub(crate) fn usage() -> Usage {
    Usage {
        cpu: processor_time(11),
        written: field("/proc/self/io", "wchar:"),
        peak: field("/proc/self/status", "VmHWM:") * 1024,
    }
}

/// The processor time of processes that this one has waited for, and of theirs.
pub(crate) fn children() -> Duration {
    processor_time(13)
}

/// The sum of two fields of `/proc/self/stat`, the first of which is so far behind the name.
fn processor_time(behind_name: usize) -> Duration {
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may have spaces in it.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(behind_name).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Duration::from_secs_f64(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

fn field(file: &str, name: &str) -> u64 {
    let text = read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
