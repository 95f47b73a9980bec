//! `import`: makes of the lines of `export` the same records again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::Path;

use metaparticle::Error;
use metaparticle::engine::{RecordBytes, RecordKey};
use metaparticle::inspect::{Inspector, Loader, StoredType};
use serde_json::json;

use crate::ask;
use crate::failure::{Code, Failure};
use crate::line::{self, Line};
use crate::open as store;
use crate::output::Output;
use crate::progress::Progress;

/// How long a line may be, so that a file that is something else does not fill the memory.
const LINE_BYTES: u64 = 1 << 28;

pub(crate) fn run(url: Option<&str>, path: &Path, yes: bool, out: &mut Output) -> Result<(), Failure> {
    // The file first: a wrong name for it makes no store.
    let (mut input, size) = open(path)?;
    let inspector = &store::or_new(url)?;
    let progress = Progress::over_bytes("import", size);
    let mut loader = inspector.loader();
    loader.replace = yes;
    let ended = lines(inspector, &mut *input, &mut loader, &progress);
    inspector.flush()?;
    drop(progress);
    let counts = loader.counts;
    let summary = format!("{} new, {} replaced, {} equal", counts.new, counts.replaced, counts.equal);
    ended.map_err(|failure| Failure { message: format!("{}; imported until then: {summary}", failure.message), ..failure })?;
    if out.json {
        out.object(json!({ "new": counts.new, "replaced": counts.replaced, "equal": counts.equal }))
    } else {
        out.line(summary)
    }
}

fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Store };
        Failure::new(code, format!("{} cannot be opened: {error}", path.display()))
    })?;
    Ok((Box::new(BufReader::with_capacity(1 << 16, file)), metadata.is_file().then_some(metadata.len())))
}

fn lines(inspector: &Inspector, input: &mut dyn BufRead, loader: &mut Loader<'_>, progress: &Progress) -> Result<(), Failure> {
    let mut types = HashMap::new();
    // The first line whose record is not written yet.
    let mut unwritten = 1;
    let mut number = 0;
    loop {
        number += 1;
        let line = match next_line(inspector, input, number, &mut types, progress) {
            Ok(line) => line,
            Err(failure) => {
                // What came before a wrong line stays.
                write(loader, unwritten..=number - 1)?;
                return Err(failure);
            }
        };
        match line {
            Next::End => return write(loader, unwritten..=number - 1),
            Next::Nothing => {}
            Next::Record(key, record) => {
                if loader.is_full_for(&key, record.len()) {
                    write(loader, unwritten..=number - 1)?;
                    unwritten = number;
                }
                loader.add(key, record);
            }
        }
    }
}

/// What a line comes to.
enum Next {
    Record(RecordKey, RecordBytes),
    /// It is empty, or a type, which is known now.
    Nothing,
    End,
}

fn next_line(
    inspector: &Inspector,
    input: &mut dyn BufRead,
    number: u64,
    types: &mut HashMap<String, StoredType>,
    progress: &Progress,
) -> Result<Next, Failure> {
    let of_line = |message: String| Failure::usage(format!("line {number}: {message}"));
    let mut bytes = Vec::new();
    let read = input.take(LINE_BYTES).read_until(b'\n', &mut bytes);
    let read = read.map_err(|error| Failure::new(Code::Store, format!("line {number} cannot be read: {error}")))?;
    if read == 0 {
        return Ok(Next::End);
    }
    if read as u64 == LINE_BYTES {
        return Err(of_line("it is too long".to_owned()));
    }
    progress.advance(read as u64);
    let text = std::str::from_utf8(&bytes).map_err(|_| of_line("it is not text".to_owned()))?.trim();
    if text.is_empty() {
        return Ok(Next::Nothing);
    }
    match line::parse(text, types).map_err(of_line)? {
        Line::Type(name, schemas) => {
            let stored = StoredType::parse(&name, schemas.as_slice().into()).map_err(|error| of_line(error.to_string()))?;
            inspector.put_schemas(&name, &schemas).map_err(|error| Failure::from(error).at(format!("line {number}")))?;
            types.insert(name, stored);
            Ok(Next::Nothing)
        }
        Line::Record(key, record) => Ok(Next::Record(key, record)),
    }
}

/// Writes the records of these lines.
fn write(loader: &mut Loader<'_>, lines: RangeInclusive<u64>) -> Result<(), Failure> {
    let of_lines = |error: Error| {
        Failure::from(error).at(match (*lines.start(), *lines.end()) {
            (first, last) if first == last => format!("line {first}"),
            (first, last) => format!("lines {first} to {last}"),
        })
    };
    if let Some(key) = loader.write().map_err(of_lines)? {
        ask::confirm(&format!("The store has other values for some of these objects, such as {key:?}. Replace them?"), false)?;
        loader.replace = true;
        loader.write().map_err(of_lines)?;
    }
    Ok(())
}
