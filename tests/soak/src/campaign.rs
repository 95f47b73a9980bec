//! What all campaigns have in common: what they are told, how long they go on, and what they say in the end.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::figures::Figures;
use crate::progress::{Length, Progress};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// One kind of trouble, made again and again.
pub(crate) trait Campaign {
    const NAME: &'static str;
    /// Those that it can be run on; on the first, where nothing else is asked for.
    const ENGINES: &'static [Engine];
    /// How many rounds there are, where nothing else is asked for.
    const ROUNDS: u64;
    /// The figures that must stay zero.
    const WRONG: &'static [&'static str];

    fn settings(&self) -> &Settings;

    /// Its own options, as they are given on the command line, to repeat it.
    fn options(&self) -> Vec<String> {
        Vec::new()
    }

    /// Runs it until `run` has no further round or a promise is broken. It has to see to it that it did enough:
    /// [`Figures::at_least`].
    fn run(&self, run: &mut Run) -> Result<()>;
}

/// What every campaign can be told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// The engine under test.
    #[arg(long)]
    engine: Option<Engine>,
    /// How many rounds.
    #[arg(long, conflicts_with = "minutes")]
    rounds: Option<u64>,
    /// For how many minutes, instead.
    #[arg(long, value_parser = minutes)]
    minutes: Option<Duration>,
    /// Repeats what an earlier run did, as far as that is not a matter of chance.
    #[arg(long)]
    seed: Option<u64>,
    /// The folder to work in, instead of a temporary one. What is in it is not removed.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}

/// Why a campaign has ended before its end.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The figure that counts it.
    pub(crate) figure: &'static str,
    /// What is wrong, for people.
    pub(crate) what: String,
}

/// The figure of a campaign that met with trouble of its own.
const NOT_RUN: &str = "not_run";

impl Failure {
    pub(crate) fn new(figure: &'static str, what: impl Into<String>) -> Self {
        Self { figure, what: what.into() }
    }

    /// Trouble that says nothing about what is under test.
    pub(crate) fn not_run(what: impl Into<String>) -> Self {
        Self::new(NOT_RUN, what)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            what = format!("{what}: {error}");
            source = error.source();
        }
        Self::not_run(what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.figure, self.what)
    }
}

/// A campaign that is being run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) seed: u64,
    pub(crate) random: fastrand::Rng,
    pub(crate) figures: Figures,
    /// Where everything is that the campaign makes. It is kept if the campaign fails.
    pub(crate) folder: PathBuf,
    length: Length,
    start: Instant,
    round: u64,
    progress: Progress,
}

impl Run {
    /// The number of the next round, from 0; `None` when all are over.
    pub(crate) fn next_round(&mut self) -> Option<u64> {
        let round = self.round;
        (self.next_rounds(1) > 0).then_some(round)
    }

    /// How many rounds are to be made next, if they are made `most` at a time; 0 when all are over.
    pub(crate) fn next_rounds(&mut self, most: u64) -> u64 {
        let (position, next) = match self.length {
            Length::Rounds(rounds) => (self.round, most.min(rounds - self.round)),
            Length::Time(time) => (self.start.elapsed().as_secs(), if self.start.elapsed() < time { most } else { 0 }),
        };
        self.progress.set(position, &self.figures);
        self.round += next;
        self.figures.add("rounds", next);
        next
    }

    /// Shows how far something else than rounds has come.
    pub(crate) fn begin_bar(&mut self, length: u64) {
        self.progress = Progress::new(Length::Rounds(length));
    }

    pub(crate) fn advance_bar(&mut self) {
        self.progress.advance(&self.figures);
    }

    /// So many rounds have begun.
    pub(crate) fn rounds(&self) -> u64 {
        self.round
    }
}

/// Runs a campaign, and says what has become of it.
pub(crate) fn run<C: Campaign>(campaign: &C) -> ExitCode {
    let &Settings { engine, seed, .. } = campaign.settings();
    let engine = engine.unwrap_or(C::ENGINES[0]);
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let title = format!("campaign={} engine={engine} seed={seed}", C::NAME);
    println!("{title}");
    let (mut run, temporary) = match start(campaign, engine, seed) {
        Ok(started) => started,
        Err(failure) => {
            println!("{failure}");
            return ExitCode::from(2);
        }
    };
    let ended = campaign.run(&mut run);
    let Run { round, mut figures, folder, start, .. } = run;
    let mut code = ExitCode::SUCCESS;
    if let Err(failure) = ended {
        println!("{failure}");
        println!("kept: {}", temporary.map_or(folder, tempfile::TempDir::keep).display());
        println!("again: {}", command(campaign, engine, round, seed));
        figures.add(failure.figure, 1);
        code = ExitCode::from(if failure.figure == NOT_RUN { 2 } else { 1 });
    }
    println!("{title} {figures} seconds={}", start.elapsed().as_secs());
    code
}

/// What repeats a campaign up to where it came.
fn command<C: Campaign>(campaign: &C, engine: Engine, rounds: u64, seed: u64) -> String {
    let (name, options) = (C::NAME, campaign.options().join(" "));
    let command =
        format!("cargo run --release -p metaparticle-soak -- {name} --engine {engine} --rounds {rounds} --seed {seed} {options}");
    command.trim_end().to_owned()
}

fn start<C: Campaign>(campaign: &C, engine: Engine, seed: u64) -> Result<(Run, Option<tempfile::TempDir>)> {
    let Settings { rounds, minutes, folder, .. } = campaign.settings().clone();
    if !C::ENGINES.contains(&engine) {
        return Err(Failure::not_run(format!("{} is not for {engine}", C::NAME)));
    }
    let length = minutes.map_or(Length::Rounds(rounds.unwrap_or(C::ROUNDS)), Length::Time);
    let (folder, temporary) = match folder {
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            (folder, None)
        }
        None => {
            let temporary = tempfile::Builder::new().prefix(&format!("soak-{}-", C::NAME)).tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let mut figures = Figures::default();
    figures.add("rounds", 0);
    C::WRONG.iter().for_each(|name| figures.add(name, 0));
    let random = fastrand::Rng::with_seed(seed);
    let progress = Progress::new(length);
    Ok((Run { engine, seed, random, figures, folder, length, start: Instant::now(), round: 0, progress }, temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_that_are_no_length_of_time_are_refused() {
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        for wrong in ["-1", "NaN", "1e30", "soon", ""] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
