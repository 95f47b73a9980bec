//! What is measured of a cell: figures with names, and their medians over rounds.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::work::Work;

/// The name of a figure; its order is that of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    OpsPerSecond,
    /// The operations per second of the slowest and of the fastest round.
    Least,
    Most,
    /// Operations per second of metaparticle as a multiple of this peer's.
    OursIs,
    /// Megabytes of objects that were changed, per second.
    MbPerSecond,
    UsPerRead,
    /// Microseconds of processor time for each operation, all threads together.
    CpuUsPerOp,
    /// Microseconds that half of all operations take at most, and 99 of 100.
    P50Us,
    P99Us,
    RetriesPerCommit,
    /// Bytes that the process had written to files for each operation, until it had ended normally.
    BytesPerOp,
    /// Objects per second.
    FillPerSecond,
    ColdReadsPerSecond,
    WarmReadsPerSecond,
    ColdUpdatesPerSecond,
    WarmUpdatesPerSecond,
    /// How many updates were on disk when the process was killed.
    Updates,
    /// Milliseconds until a store is open that was ended normally, and one whose process was killed.
    OpenMs,
    OpenAfterKillMs,
    /// Bytes that the folder takes for each byte of its objects, after filling.
    DiskPerByte,
    PeakMib,
    /// Processor time of cargo for a program that has changed.
    CheckSeconds,
    BuildSeconds,
    /// Lines of what LLVM is given.
    LlvmLines,
    /// Updates and objects that are not there after reopening, and by how much balances differ from what was done.
    Lost,
}

impl Figure {
    /// What it is called in tables, and with how many decimals it is shown.
    pub(crate) fn shown_as(self) -> (&'static str, usize) {
        match self {
            Self::OpsPerSecond => ("ops/s", 0),
            Self::Least => ("least", 0),
            Self::Most => ("most", 0),
            Self::OursIs => ("ours is ×", 2),
            Self::MbPerSecond => ("MB/s", 1),
            Self::UsPerRead => ("µs/object", 2),
            Self::CpuUsPerOp => ("CPU µs/op", 1),
            Self::P50Us => ("50 % µs", 1),
            Self::P99Us => ("99 % µs", 1),
            Self::RetriesPerCommit => ("retries", 2),
            Self::BytesPerOp => ("bytes/op", 0),
            Self::FillPerSecond => ("fill/s", 0),
            Self::ColdReadsPerSecond => ("cold reads/s", 0),
            Self::WarmReadsPerSecond => ("warm reads/s", 0),
            Self::ColdUpdatesPerSecond => ("cold updates/s", 0),
            Self::WarmUpdatesPerSecond => ("warm updates/s", 0),
            Self::Updates => ("updates", 0),
            Self::OpenMs => ("open ms", 0),
            Self::OpenAfterKillMs => ("after kill ms", 0),
            Self::DiskPerByte => ("disk/byte", 2),
            Self::PeakMib => ("peak MiB", 0),
            Self::CheckSeconds => ("cargo check, CPU s", 2),
            Self::BuildSeconds => ("cargo build, CPU s", 2),
            Self::LlvmLines => ("lines for LLVM", 0),
            Self::Lost => ("lost", 0),
        }
    }
}

/// Figures of one cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub(crate) struct Figures {
    #[serde(flatten)]
    numbers: BTreeMap<Figure, f64>,
    /// What else is to be said about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// By hand, because serde cannot read a flattened number where `serde_json` is built to keep all of its digits.
impl TryFrom<BTreeMap<String, Value>> for Figures {
    type Error = serde_json::Error;

    fn try_from(line: BTreeMap<String, Value>) -> serde_json::Result<Self> {
        let mut figures = Self::default();
        for (name, value) in line {
            match name.as_str() {
                "note" => figures.note = serde_json::from_value(value)?,
                _ => drop(figures.numbers.insert(serde_json::from_value(name.into())?, serde_json::from_value(value)?)),
            }
        }
        Ok(figures)
    }
}

impl Figures {
    /// None, and why.
    pub(crate) fn skipped(why: impl Display) -> Self {
        Self::default().noted(Some(format!("skipped: {why}")))
    }

    /// What every cell has that does one operation over and over.
    pub(crate) fn of(work: &Work) -> Self {
        let cpu = work.cpu.as_secs_f64() * 1e6 / work.done as f64;
        let figures = Self::default().with(Figure::OpsPerSecond, work.per_second()).with(Figure::CpuUsPerOp, cpu);
        match &work.latencies {
            Some(latencies) => {
                let us = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
                figures.with(Figure::P50Us, us(0.5)).with(Figure::P99Us, us(0.99))
            }
            None => figures,
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, figure: Figure, number: f64) -> Self {
        self.numbers.insert(figure, number);
        self
    }

    #[must_use]
    pub(crate) fn noted(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        self.numbers.get(&figure).copied()
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.get(Figure::Lost).is_some_and(|lost| lost != 0.0)
    }

    /// Both, of two processes that share one cell: the peak is the higher one, and what is lost adds up.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        for (figure, number) in other.numbers {
            let own = self.numbers.entry(figure).or_default();
            *own = match figure {
                Figure::PeakMib => own.max(number),
                Figure::Lost => *own + number,
                _ => number,
            };
        }
        self.note = self.note.or(other.note);
        self
    }

    /// The median of each figure; of what is lost, the most.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let mut numbers: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
        for (figure, number) in rounds.iter().flat_map(|round| &round.numbers) {
            numbers.entry(*figure).or_default().push(*number);
        }
        let mut medians = Self { note: rounds.iter().find_map(|round| round.note.clone()), ..Self::default() };
        for (figure, mut numbers) in numbers {
            numbers.sort_by(f64::total_cmp);
            let (least, middle, most) = (numbers[0], numbers[numbers.len() / 2], numbers[numbers.len() - 1]);
            medians = match figure {
                Figure::OpsPerSecond => medians.with(figure, middle).with(Figure::Least, least).with(Figure::Most, most),
                Figure::Lost => medians.with(figure, if least.abs() > most { least } else { most }),
                _ => medians.with(figure, middle),
            };
        }
        medians
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_in_one_round_is_not_hidden_by_the_median() {
        let round = |ops, lost| Figures::default().with(Figure::OpsPerSecond, ops).with(Figure::Lost, lost);
        let median = Figures::median(&[round(9.0, 0.0), round(2.0, -3.0), round(4.0, 0.0)]);
        let numbers = [Figure::Least, Figure::OpsPerSecond, Figure::Most, Figure::Lost].map(|figure| median.get(figure));
        assert_eq!(numbers, [2.0, 4.0, 9.0, -3.0].map(Some));
        assert!(median.has_lost());
    }

    #[test]
    fn figures_are_the_same_after_a_process_has_handed_them_over() {
        let figures = Figures::skipped("so").with(Figure::P99Us, 1.5);
        for figures in [figures, Figures::default()] {
            let line = serde_json::to_string(&figures).expect("a line");
            assert_eq!(serde_json::from_str::<Figures>(&line).expect("figures"), figures, "{line}");
        }
    }
}
