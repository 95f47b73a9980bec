//! How far a long command has come, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use metaparticle::engine::KeyRange;
use metaparticle::inspect::Inspector;

/// A bar on standard error; without a terminal, nothing.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    fn new(what: &str, total: Option<u64>, numbers: &str) -> Self {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match total {
            Some(_) => format!("{what} {{bar:30}} {numbers}, {{eta}} left"),
            None => format!("{what} {{spinner}} {numbers}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self(bar)
    }

    /// Over the records in `ranges`. They are counted first where somebody looks on, so that the time left is known.
    pub(crate) fn over(what: &str, inspector: &Inspector, ranges: &[KeyRange]) -> Self {
        let numbers = "{human_pos} records, {per_sec}";
        let spinner = Self::new(&format!("{what}: counting"), None, numbers);
        if spinner.0.is_hidden() {
            return spinner;
        }
        let records = ranges.iter().flat_map(|range| inspector.salvage(range.clone()));
        // What cannot be read is the command's business.
        let total = records.take_while(Result::is_ok).inspect(|_| spinner.step()).count();
        drop(spinner);
        Self::new(what, Some(total as u64), "{human_pos}/{human_len} records, {per_sec}")
    }

    /// Over so many bytes, if their number is known.
    pub(crate) fn over_bytes(what: &str, total: Option<u64>) -> Self {
        Self::new(what, total, "{bytes}, {bytes_per_sec}")
    }

    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
