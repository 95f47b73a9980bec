//! Rounds: each measures every cell once, in a process and a folder of its own.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::figures::Figures;
use crate::process::{End, in_a_process};
use crate::{job, peers, scale};

/// What is measured at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cell {
    Peer(job::Cell),
    Scale(scale::Cell),
}

impl Cell {
    /// Measures it in this process.
    pub(crate) fn measure(&self, process: &Process) -> Result<Figures> {
        let Process { folder, seconds } = process;
        match self {
            Self::Peer(cell) => job::measure(cell, || peers::open(&cell.peer, folder, cell.mode), *seconds, false),
            Self::Scale(cell) => cell.measure(folder, *seconds),
        }
    }
}

/// Where a process works, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Process {
    #[arg(long)]
    pub(crate) folder: PathBuf,
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Duration,
}

/// How cells are measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Rounds {
    /// How often each is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// For how long each time.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// A file for the medians, one JSON object a line.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// The folder for the stores, instead of a temporary one in the current folder.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Rounds {
    /// The cells with their medians, in the order given.
    pub(crate) fn medians<C: Clone + Display>(&self, cells: Vec<C>, whole: impl Fn(C) -> Cell) -> Result<Vec<(C, Figures)>> {
        let bar = ProgressBar::new(cells.len() as u64 * u64::from(self.rounds));
        bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
        let parent = self.folder.clone().unwrap_or_else(|| PathBuf::from("."));
        let mut measured = vec![Vec::new(); cells.len()];
        let mut order: Vec<usize> = (0..cells.len()).collect();
        for _ in 0..self.rounds {
            for &index in &order {
                bar.set_message(cells[index].to_string());
                let folder = tempfile::Builder::new().prefix("metaparticle-bench-").tempdir_in(&parent)?;
                let cell = whole(cells[index].clone());
                measured[index].push(in_a_process("cell", &cell, folder.path(), self.seconds, End::Normal)?);
                bar.inc(1);
            }
            // What comes first in one round comes later in the next.
            let by = (cells.len() / self.rounds as usize + 1).min(cells.len());
            order.rotate_left(by);
        }
        bar.finish_and_clear();
        Ok(cells.into_iter().zip(measured.iter().map(|rounds| Figures::median(rounds))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_that_are_no_length_of_time_are_refused() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", "NaN", "1e30", "soon", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
