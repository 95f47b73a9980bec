//! The rows that a MariaDB server answers.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::asked::Question;
use metaparticle_fuzz::{bounded, part};
use mysql_async::{Row, Value};
use mysql_common::constants::ColumnType;
use mysql_common::packets::Column;
use mysql_common::row::new_row;

#[derive(Arbitrary, Debug)]
enum Cell {
    Null,
    Bytes(Vec<u8>),
    Version([u8; 16]),
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    Date(u16, u8, u8, u8, u8, u8, u32),
}

fn row(cells: Vec<Cell>) -> Row {
    let value = |cell| match cell {
        Cell::Null => Value::NULL,
        Cell::Bytes(bytes) => Value::Bytes(bytes),
        Cell::Version(bytes) => Value::Bytes(bytes.to_vec()),
        Cell::Signed(number) => Value::Int(number),
        Cell::Unsigned(number) => Value::UInt(number),
        Cell::Double(number) => Value::Double(number),
        Cell::Date(year, month, day, hour, minute, second, micro) => Value::Date(year, month, day, hour, minute, second, micro),
    };
    let columns: Vec<Column> = cells.iter().map(|_| Column::new(ColumnType::MYSQL_TYPE_BLOB)).collect();
    new_row(cells.into_iter().map(value).collect(), columns.into())
}

fuzz_target!(|input: &[u8]| {
    let mut bytes = input;
    let Some(question) = Question::of(part(&mut bytes)) else { return };
    let Ok((settings, rows)) = <(Vec<Cell>, Vec<Vec<Vec<Cell>>>)>::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let rows = rows.into_iter().map(|rows| rows.into_iter().map(row).collect()).collect();
    bounded(input, || {
        fuzzing::mysql_rows(rows, &question.asked());
        fuzzing::mysql_settings(row(settings));
    });
});
