//! What comes out: a table of ratios, lines of JSON, a chart.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use comfy_table::{CellAlignment, Table};
use plotters::prelude::*;

use crate::job::{Cell, Job, Measured, Mode};
use crate::peers::PEERS;

/// All rounds of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// That of the median round.
    pub(crate) median: Measured,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Summary {
    fn of(mut rounds: Vec<Measured>) -> Self {
        rounds.sort_by(|one, other| one.ops_per_second.total_cmp(&other.ops_per_second));
        let (least, most) = (rounds[0].ops_per_second, rounds[rounds.len() - 1].ops_per_second);
        let lost = rounds.iter().map(|round| round.lost.abs()).max().unwrap_or(0);
        let median = rounds.swap_remove(rounds.len() / 2);
        Self { median: Measured { lost, ..median }, least, most }
    }
}

type Row = (Job, Mode, usize);

/// Summaries by job, mode and threads, and then by peer.
pub(crate) fn summaries(measured: Vec<Measured>) -> BTreeMap<Row, BTreeMap<String, Summary>> {
    let mut rounds: BTreeMap<Row, BTreeMap<String, Vec<Measured>>> = BTreeMap::new();
    for one in measured {
        let Cell { job, mode, threads, peer } = one.cell.clone();
        rounds.entry((job, mode, threads)).or_default().entry(peer).or_default().push(one);
    }
    let of =
        |peers: BTreeMap<String, Vec<Measured>>| peers.into_iter().map(|(peer, rounds)| (peer, Summary::of(rounds))).collect();
    rounds.into_iter().map(|(row, peers)| (row, of(peers))).collect()
}

/// Operations per second of each peer, with ours as a multiple of it.
pub(crate) fn table(summaries: &BTreeMap<Row, BTreeMap<String, Summary>>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let columns = [
        "job",
        "mode",
        "threads",
        "peer",
        "ops/s",
        "least",
        "most",
        "ours is",
        "CPU µs/op",
        "retries",
        "bytes/op",
        "peak MiB",
        "lost",
    ];
    table.set_header(columns);
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for ((job, mode, threads), peers) in summaries {
        let ours = peers.get(PEERS[0]).map(|summary| summary.median.ops_per_second);
        for peer in PEERS {
            let Some(Summary { median, least, most }) = peers.get(peer) else { continue };
            let times = ours.map(|ours| format!("{:.2}×", ours / median.ops_per_second)).unwrap_or_default();
            table.add_row([
                format!("{job:?}"),
                format!("{mode:?}").to_lowercase(),
                threads.to_string(),
                peer.to_owned(),
                format!("{:.0}", median.ops_per_second),
                format!("{least:.0}"),
                format!("{most:.0}"),
                times,
                format!("{:.1}", median.cpu_us_per_op),
                format!("{:.2}", median.retries_per_commit),
                format!("{:.0}", median.bytes_per_op),
                format!("{:.0}", median.peak_mib),
                median.lost.to_string(),
            ]);
        }
    }
    table
}

/// One object a line: the medians.
pub(crate) fn json(summaries: &BTreeMap<Row, BTreeMap<String, Summary>>, path: &Path) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    for summary in summaries.values().flat_map(BTreeMap::values) {
        writeln!(file, "{}", serde_json::to_string(&summary.median)?)?;
    }
    Ok(())
}

/// Bars of operations per second, each job's beside each other, on a logarithmic scale.
pub(crate) fn svg(summaries: &BTreeMap<Row, BTreeMap<String, Summary>>, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    const WIDTH: u32 = 14;
    let rows: Vec<_> = summaries.iter().collect();
    let bars = PEERS.len() as u32 + 1;
    let area = SVGBackend::new(path, (rows.len() as u32 * bars * WIDTH + 260, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = summaries.values().flat_map(BTreeMap::values).map(|summary| summary.most).fold(10.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption("operations per second", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..(rows.len() as u32 * bars) as f64, (100.0..most * 2.0).log_scale())?;
    let label = |at: &f64| {
        let row = rows.get((at / f64::from(bars)) as usize);
        row.map(|((job, mode, threads), _)| format!("{job:?} {mode:?} ×{threads}").to_lowercase()).unwrap_or_default()
    };
    chart.configure_mesh().disable_x_mesh().x_labels(rows.len()).x_label_formatter(&label).draw()?;
    for (index, peer) in PEERS.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let bar = |(row, (_, peers)): (usize, &(&Row, &BTreeMap<String, Summary>))| {
            let height = peers.get(*peer)?.median.ops_per_second;
            let left = (row as u32 * bars + index as u32) as f64;
            Some(Rectangle::new([(left, 100.0), (left + 0.9, height)], color.filled()))
        };
        chart
            .draw_series(rows.iter().enumerate().filter_map(bar))?
            .label(*peer)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], color.filled()));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
