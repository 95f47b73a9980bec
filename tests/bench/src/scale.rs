//! The subcommand `scale`: how metaparticle's cost grows, as seen through its macros.

mod objects;
mod reads;
mod record;

use std::fmt;
use std::iter::successors;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use self::objects::Step;
use crate::figures::{Figure, Figures};
use crate::job::{self, Job, Mode};
use crate::peers::PEERS;
use crate::peers::ours::Ours;
use crate::rounds::{self, Rounds};
use crate::{Result, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these questions.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Question>,
    /// How many objects the largest store has.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    objects: u32,
    /// What keeps the records.
    #[arg(long, default_value = "sled")]
    engine: Engine,
    #[command(flatten)]
    rounds: Rounds,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Question {
    Threads,
    Objects,
    Record,
    Reads,
}

/// An engine that keeps records in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    Sled,
    Fjall,
}

impl Engine {
    fn url(self, folder: &Path) -> String {
        let path = folder.join("store");
        match self {
            Self::Sled => format!("sled:{}", path.display()),
            Self::Fjall => format!("fjall:{}", path.display()),
        }
    }
}

/// One point of one question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    #[serde(flatten)]
    point: Point,
    engine: Engine,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "lowercase")]
enum Point {
    Threads { job: Job, mode: Mode, threads: usize },
    Objects { objects: u32 },
    Record { bytes: usize, mode: Mode },
    Reads { reads: u32 },
}

impl Question {
    fn points(self, most_objects: u32) -> Vec<Point> {
        let modes = [Mode::Relaxed, Mode::Durable];
        match self {
            Self::Threads => {
                let jobs = [(Job::J3, Mode::Relaxed), (Job::J3, Mode::Durable), (Job::J4, Mode::Relaxed)];
                let points = |(job, mode)| [1, 2, 4, 8, 16, 32, 64].map(|threads| Point::Threads { job, mode, threads });
                jobs.into_iter().flat_map(points).collect()
            }
            Self::Objects => {
                let smaller = successors(Some(1_000), |objects: &u32| objects.checked_mul(10));
                let all = smaller.take_while(|objects| *objects < most_objects).chain([most_objects]);
                all.map(|objects| Point::Objects { objects }).collect()
            }
            Self::Record => {
                let sizes = [100, 1 << 10, 8 << 10, 64 << 10, 120 << 10, 1 << 20];
                sizes.into_iter().flat_map(|bytes| modes.map(|mode| Point::Record { bytes, mode })).collect()
            }
            Self::Reads => [1, 10, 100, 1_000].map(|reads| Point::Reads { reads }).to_vec(),
        }
    }

    /// The columns of its table.
    fn columns(self) -> (&'static [&'static str], &'static [Figure]) {
        use Figure::*;
        match self {
            Self::Threads => {
                (&["job", "mode", "threads"], &[OpsPerSecond, Least, Most, CpuUsPerOp, P50Us, P99Us, RetriesPerCommit, Lost])
            }
            Self::Objects => (
                &["objects"],
                &[
                    FillPerSecond,
                    ColdReadsPerSecond,
                    WarmReadsPerSecond,
                    ColdUpdatesPerSecond,
                    WarmUpdatesPerSecond,
                    OpenMs,
                    OpenAfterKillMs,
                    DiskPerByte,
                    PeakMib,
                    Lost,
                ],
            ),
            Self::Record => (&["bytes", "mode"], &[OpsPerSecond, Least, Most, MbPerSecond, CpuUsPerOp, Lost]),
            Self::Reads => (&["reads"], &[OpsPerSecond, Least, Most, UsPerRead, CpuUsPerOp, Lost]),
        }
    }
}

impl Point {
    fn question(&self) -> Question {
        match self {
            Self::Threads { .. } => Question::Threads,
            Self::Objects { .. } => Question::Objects,
            Self::Record { .. } => Question::Record,
            Self::Reads { .. } => Question::Reads,
        }
    }

    fn labels(&self) -> Vec<String> {
        match self {
            Self::Threads { job, mode, threads } => vec![format!("{job:?}"), mode.to_string(), threads.to_string()],
            Self::Objects { objects } => vec![objects.to_string()],
            Self::Record { bytes, mode } => vec![bytes.to_string(), mode.to_string()],
            Self::Reads { reads } => vec![reads.to_string()],
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.point.question(), self.point.labels().join(" "))
    }
}

impl Cell {
    /// Measures it in this process, in `folder`.
    pub(crate) fn measure(&self, folder: &Path, length: Duration) -> Result<Figures> {
        let url = self.engine.url(folder);
        match self.point {
            Point::Threads { job, mode, threads } => {
                let cell = job::Cell { job, mode, threads, peer: PEERS[0].to_owned() };
                job::measure(&cell, || Box::new(Ours::open(&url, mode.durability())), length, true)
            }
            Point::Objects { objects } => objects::measure(self.engine, objects, folder, length),
            Point::Record { bytes, mode } => record::measure(&url, bytes, mode, length),
            Point::Reads { reads } => reads::measure(&url, reads, length),
        }
    }
}

/// Measures everything; whether nothing was lost.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let is_wanted = |question: &Question| options.only.is_empty() || options.only.contains(question);
    let questions: Vec<_> = Question::value_variants().iter().copied().filter(is_wanted).collect();
    let points = questions.iter().flat_map(|question| question.points(options.objects));
    let cells = points.map(|point| Cell { point, engine: options.engine }).collect();
    let rows = options.rounds.medians(cells, rounds::Cell::Scale)?;
    for question in questions {
        let rows: Vec<_> = rows.iter().filter(|(cell, _)| cell.point.question() == question).cloned().collect();
        let (labels, figures) = question.columns();
        println!("{}\n", report::table(labels, figures, &rows, |cell| cell.point.labels()));
    }
    if let Some(path) = &options.rounds.json {
        report::json(&rows, path)?;
    }
    Ok(!rows.iter().any(|(_, figures)| figures.has_lost()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(point: Point) -> Figures {
        let folder = tempfile::tempdir().expect("a folder");
        let cell = Cell { point, engine: Engine::Sled };
        cell.measure(folder.path(), Duration::from_millis(20)).unwrap_or_else(|error| panic!("{cell}: {error}"))
    }

    #[test]
    fn every_cell_in_one_process_fills_its_columns_and_loses_nothing() {
        for question in [Question::Threads, Question::Record, Question::Reads] {
            for point in question.points(1) {
                let figures = measure(point.clone());
                let is_too_large = matches!(point, Point::Record { bytes, .. } if bytes == 1 << 20);
                assert_eq!(figures.note.is_some(), is_too_large, "{point:?}: {figures:?}");
                // Between rounds.
                let of_one = |figure: &&Figure| !matches!(figure, Figure::Least | Figure::Most);
                let missing = question.columns().1.iter().filter(of_one).filter(|figure| figures.get(**figure).is_none());
                assert_eq!(missing.count() > 0, is_too_large, "{point:?}: {figures:?}");
                assert!(!figures.has_lost(), "{point:?}: {figures:?}");
            }
        }
    }

    #[test]
    fn stores_grow_by_the_tenfold_and_end_with_the_largest() {
        for (most, all) in [(7, vec![7]), (1_000, vec![1_000]), (20_000, vec![1_000, 10_000, 20_000])] {
            let labels: Vec<_> = Question::Objects.points(most).iter().flat_map(Point::labels).collect();
            assert_eq!(labels, all.iter().map(i32::to_string).collect::<Vec<_>>());
        }
    }
}
