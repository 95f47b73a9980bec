//! The subcommand `peers`: all jobs on all peers.

use std::fmt;
use std::path::PathBuf;

use crate::Result;
use crate::figures::{Figure, Figures};
use crate::job::{Cell, Job, Mode};
use crate::peers::{PEERS, takes_part};
use crate::rounds::{self, Rounds};
use crate::{chart, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these jobs.
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    jobs: Vec<Job>,
    /// Only these peers, beside metaparticle.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only this mode.
    #[arg(long)]
    mode: Option<Mode>,
    /// With these numbers of threads, instead of those that each job is defined with.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// A file for a chart.
    #[arg(long)]
    svg: Option<PathBuf>,
    #[command(flatten)]
    rounds: Rounds,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ×{} {}", self.job, self.mode, self.threads, self.peer)
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

fn cells(options: &Options) -> Vec<Cell> {
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
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut rows = options.rounds.medians(cells(options), rounds::Cell::Peer)?;
    compare(&mut rows);
    println!("{}", table(&rows));
    if let Some(path) = &options.rounds.json {
        report::json(&rows, path)?;
    }
    if let Some(path) = &options.svg {
        chart::svg(&rows, path)?;
    }
    Ok(!rows.iter().any(|(_, figures)| figures.has_lost()))
}

/// Ours as a multiple of each peer's. Metaparticle comes first at each job.
fn compare(rows: &mut [(Cell, Figures)]) {
    let mut ours = None;
    for (cell, figures) in rows {
        let own = figures.get(Figure::OpsPerSecond);
        if cell.peer == PEERS[0] {
            ours = own;
        }
        if let (Some(ours), Some(own)) = (ours, own) {
            *figures = std::mem::take(figures).with(Figure::OursIs, ours / own);
        }
    }
}

fn table(rows: &[(Cell, Figures)]) -> comfy_table::Table {
    let figures = [
        Figure::OpsPerSecond,
        Figure::Least,
        Figure::Most,
        Figure::OursIs,
        Figure::CpuUsPerOp,
        Figure::RetriesPerCommit,
        Figure::BytesPerOp,
        Figure::PeakMib,
        Figure::Lost,
    ];
    report::table(&["job", "mode", "threads", "peer"], &figures, rows, |Cell { job, mode, threads, peer }| {
        vec![format!("{job:?}"), mode.to_string(), threads.to_string(), peer.clone()]
    })
}
