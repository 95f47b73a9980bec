//! Measures metaparticle beside what is written by hand on other libraries.
//!
//! ```text
//! cargo run --release -p metaparticle-bench -- peers
//! ```

mod job;
mod objects;
mod peers;
mod process;
mod report;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::job::{Cell, Job, Measured, Mode, measure};
use crate::peers::{PEERS, takes_part};

/// Measures metaparticle beside what is written by hand on other libraries.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All jobs on all peers, in interleaved rounds; prints medians and ratios.
    Peers(Peers),
    /// One job on one peer, in this process; prints a line of JSON.
    #[command(hide = true)]
    Cell(One),
}

#[derive(Debug, clap::Args)]
struct Peers {
    /// Only these jobs.
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    jobs: Vec<Job>,
    /// Only these peers, beside metaparticle.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only this mode.
    #[arg(long)]
    mode: Option<Mode>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// For how long each time.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// With these numbers of threads, instead of those that each job is defined with.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// A file for the medians, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A file for a chart.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// The folder for the stores, instead of a temporary one in the current folder.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct One {
    #[arg(long)]
    peer: String,
    #[arg(long, ignore_case = true)]
    job: Job,
    #[arg(long)]
    mode: Mode,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        What::Peers(options) => match all(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        What::Cell(One { peer, job, mode, threads, seconds, folder }) => {
            let cell = Cell { job, mode, threads, peer };
            let measured = measure(&cell, &folder, Duration::from_secs_f64(seconds));
            match serde_json::to_string(&measured) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("{error}"),
            }
            ExitCode::SUCCESS
        }
    }
}

/// The numbers of threads that a job is defined with.
fn threads_of(job: Job, mode: Mode) -> &'static [usize] {
    match (job, mode) {
        (Job::J1 | Job::J5, _) => &[1],
        (Job::J2, _) => &[8],
        (Job::J3, Mode::Relaxed) => &[1, 8],
        (Job::J3, Mode::Durable) => &[8, 64],
        (Job::J4, _) => &[1, 8],
    }
}

fn cells(options: &Peers) -> Vec<Cell> {
    let mut cells = Vec::new();
    for job in [Job::J1, Job::J2, Job::J3, Job::J4, Job::J5] {
        for mode in [Mode::Relaxed, Mode::Durable] {
            // Reading is the same in both, and J5 is about encoding.
            let is_told_apart = mode == Mode::Relaxed || matches!(job, Job::J1 | Job::J2 | Job::J3);
            let is_wanted =
                (options.jobs.is_empty() || options.jobs.contains(&job)) && options.mode.is_none_or(|wanted| wanted == mode);
            if !is_told_apart || !is_wanted {
                continue;
            }
            let threads = if options.threads.is_empty() { threads_of(job, mode) } else { &options.threads };
            for &threads in threads {
                let takes_part = |peer: &&str| {
                    let is_wanted =
                        options.peers.is_empty() || *peer == PEERS[0] || options.peers.iter().any(|wanted| wanted == peer);
                    is_wanted && takes_part(peer, job, mode, threads)
                };
                cells.extend(PEERS.into_iter().filter(takes_part).map(|peer| Cell { job, mode, threads, peer: peer.to_owned() }));
            }
        }
    }
    cells
}

/// Measures everything; whether nothing was lost.
fn all(options: &Peers) -> Result<bool, Box<dyn std::error::Error>> {
    let mut cells = cells(options);
    let bar = ProgressBar::new((cells.len() * options.rounds) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
    let mut measured = Vec::new();
    for _ in 0..options.rounds {
        for cell in &cells {
            bar.set_message(format!("{:?} {:?} ×{} {}", cell.job, cell.mode, cell.threads, cell.peer));
            measured.push(in_a_process(cell, options)?);
            bar.inc(1);
        }
        // What comes first in one round comes later in the next.
        let by = (cells.len() / options.rounds.max(1) + 1).min(cells.len());
        cells.rotate_left(by);
    }
    bar.finish_and_clear();
    let summaries = report::summaries(measured);
    println!("{}", report::table(&summaries));
    if let Some(path) = &options.json {
        report::json(&summaries, path)?;
    }
    if let Some(path) = &options.svg {
        report::svg(&summaries, path)?;
    }
    Ok(summaries.values().flatten().all(|(_, summary)| summary.median.lost == 0))
}

/// Each is measured in a process and a folder of its own, so that it finds none of the others' memory and files.
fn in_a_process(cell: &Cell, options: &Peers) -> Result<Measured, Box<dyn std::error::Error>> {
    let parent = options.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = tempfile::Builder::new().prefix("metaparticle-bench-").tempdir_in(parent)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["cell", "--peer", &cell.peer, "--job", &format!("{:?}", cell.job)])
        .args(["--mode", &format!("{:?}", cell.mode).to_lowercase(), "--threads", &cell.threads.to_string()])
        .args(["--seconds", &options.seconds.to_string(), "--folder"])
        .arg(folder.path())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{cell:?} has failed: {said}").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
