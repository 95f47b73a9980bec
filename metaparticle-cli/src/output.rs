//! What a command prints: tables and lines for people, or JSON, one object a line.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value as Json;

use crate::failure::Failure;

/// Standard output.
pub(crate) struct Output {
    pub(crate) json: bool,
    writer: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, writer: BufWriter::with_capacity(1 << 16, io::stdout()) }
    }

    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.writer, "{line}")?)
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// One object, for programs.
    pub(crate) fn object(&mut self, object: Json) -> Result<(), Failure> {
        self.line(object)
    }

    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        self.line(table.trim_fmt())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }
}

/// A table; the columns with these numbers are aligned to the right.
pub(crate) fn table(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for number in numbers {
        if let Some(column) = table.column_mut(*number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Stored text as it may be shown on a terminal: what would control it is escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, char| {
        match char.is_control() {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
        shown
    })
}
