//! What comes out: tables, and lines of JSON.

use std::fs;
use std::io::Write;
use std::path::Path;

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::Result;
use crate::figures::{Figure, Figures};

/// A row for each cell: its labels, its figures, and what is to be said about them if anything is.
pub(crate) fn table<'a, C: 'a>(
    labels: &[&str],
    figures: &[Figure],
    rows: &'a [(C, Figures)],
    label: impl Fn(&'a C) -> Vec<String>,
) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let notes: &[&str] = if rows.iter().any(|(_, measured)| measured.note.is_some()) { &["note"] } else { &[] };
    table.set_header(labels.iter().copied().chain(figures.iter().map(|figure| figure.shown_as().0)).chain(notes.iter().copied()));
    for column in table.column_iter_mut().skip(labels.len()).take(figures.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (cell, measured) in rows {
        let shown = |figure: &Figure| {
            let number = measured.get(*figure).map(|number| format!("{number:.*}", figure.shown_as().1));
            number.unwrap_or_default()
        };
        let note = notes.iter().map(|_| measured.note.clone().unwrap_or_default());
        table.add_row(label(cell).into_iter().chain(figures.iter().map(shown)).chain(note));
    }
    table
}

/// One object a line: the medians.
pub(crate) fn json<C: Serialize>(rows: &[(C, Figures)], path: &Path) -> Result<()> {
    #[derive(Serialize)]
    struct Line<'a, C> {
        #[serde(flatten)]
        cell: &'a C,
        #[serde(flatten)]
        figures: &'a Figures,
    }
    let mut file = fs::File::create(path)?;
    for (cell, figures) in rows {
        writeln!(file, "{}", serde_json::to_string(&Line { cell, figures })?)?;
    }
    Ok(())
}
