//! A chart of the peers.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use crate::Result;
use crate::figures::{Figure, Figures};
use crate::job::{Cell, Job, Mode};
use crate::peers::PEERS;

/// One job as it is done by all.
type Row = (Job, Mode, usize);

/// Bars of operations per second, each job's beside each other, on a logarithmic scale.
pub(crate) fn svg(cells: &[(Cell, Figures)], path: &Path) -> Result<()> {
    const WIDTH: u32 = 14;
    let mut rows: BTreeMap<Row, BTreeMap<&str, f64>> = BTreeMap::new();
    for (cell, figures) in cells {
        let height = figures.get(Figure::OpsPerSecond).unwrap_or_default();
        rows.entry((cell.job, cell.mode, cell.threads)).or_default().insert(&cell.peer, height);
    }
    let rows: Vec<_> = rows.into_iter().collect();
    let bars = PEERS.len() as u32 + 1;
    let area = SVGBackend::new(path, (rows.len() as u32 * bars * WIDTH + 260, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = cells.iter().filter_map(|(_, figures)| figures.get(Figure::Most)).fold(10.0, f64::max);
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
        let bar = |(row, (_, peers)): (usize, &(Row, BTreeMap<&str, f64>))| {
            let height = *peers.get(peer)?;
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
