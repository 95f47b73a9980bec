//! `copy`: all records of one store, with their schemas, into another; on any engines.

use std::cmp::Ordering;
use std::iter::Peekable;

use metaparticle::engine::{Record, RecordKey};
use metaparticle::inspect::{Inspector, Place, StoredType, place, shown};
use serde_json::json;

use crate::failure::{Code, Failure};
use crate::open;
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(from: &str, to: &str, yes: bool, out: &mut Output) -> Result<(), Failure> {
    let source = open::existing(Some(from))?;
    let target = open::or_new(Some(to))?;
    let is_empty = target.records(Inspector::everything()).next().transpose()?.is_none();
    if !is_empty && !yes {
        let found = compare(&source, &target, "compare before")?;
        if found.extra + found.differing > 0 {
            return Err(Failure::usage(format!(
                "{} has {} objects that the source does not have, and {} with other values: confirm with --yes, which replaces the \
                 latter and leaves the former",
                shown(to),
                found.extra,
                found.differing
            )));
        }
    }
    let (new, replaced, equal) = records(&source, &target, yes)?;
    let found = compare(&source, &target, "verify")?;
    if found.missing + found.differing > 0 {
        let message = format!(
            "the copy is not equal: {} objects are missing, and {} differ; did something else change one of the stores?",
            found.missing, found.differing
        );
        return Err(Failure::new(Code::Damage, message));
    }
    if out.json {
        return out.object(
            json!({ "copied": new, "replaced": replaced, "equal": equal, "verified": found.same, "extra": found.extra }),
        );
    }
    out.line(format_args!("{new} copied, {replaced} replaced, {equal} were equal; {} verified", found.same))
}

fn records(source: &Inspector, target: &Inspector, replace: bool) -> Result<(u64, u64, u64), Failure> {
    let progress = Progress::over("copy", source, &[Inspector::everything()]);
    let mut loader = target.loader();
    loader.replace = replace;
    let write = |loader: &mut metaparticle::inspect::Loader<'_>| match loader.write()? {
        None => Ok(()),
        Some(key) => Err(Failure::new(Code::Conflict, format!("something else has written {key:?} into the target meanwhile"))),
    };
    let mut schemas = (0, 0);
    for found in source.records(Inspector::everything()) {
        let (key, record) = found?;
        progress.step();
        if let Place::Schema(name) = place(&key) {
            match target.put_schemas(&name, &record.bytes)? {
                true => schemas.0 += 1,
                false => schemas.1 += 1,
            }
            continue;
        }
        if loader.is_full_for(&key, record.bytes.len()) {
            write(&mut loader)?;
        }
        loader.add(key, record.bytes);
    }
    write(&mut loader)?;
    target.flush()?;
    let counts = loader.counts;
    Ok((counts.new + schemas.0, counts.replaced, counts.equal + schemas.1))
}

/// What two stores have in common, in records.
#[derive(Default)]
struct Comparison {
    same: u64,
    /// In the source only.
    missing: u64,
    /// In the target only.
    extra: u64,
    differing: u64,
}

/// Reads both stores side by side.
fn compare(source: &Inspector, target: &Inspector, what: &str) -> Result<Comparison, Failure> {
    let mut found = Comparison::default();
    let progress = Progress::over(what, source, &[Inspector::everything()]);
    let mut left = source.records(Inspector::everything()).peekable();
    let mut right = target.records(Inspector::everything()).peekable();
    loop {
        let order = match (head(&mut left)?, head(&mut right)?) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((left, _)), Some((right, _))) => left.cmp(right),
        };
        let record = if order.is_le() { left.next().transpose()? } else { None };
        let other = if order.is_ge() { right.next().transpose()? } else { None };
        progress.advance(u64::from(record.is_some()));
        match (record, other) {
            (Some((key, record)), Some((_, other))) if is_same(&key, &record, &other) => found.same += 1,
            (Some(_), Some(_)) => found.differing += 1,
            (Some(_), None) => found.missing += 1,
            (None, _) => found.extra += 1,
        }
    }
}

type Found = metaparticle::Result<(RecordKey, Record)>;

fn head<I: Iterator<Item = Found>>(records: &mut Peekable<I>) -> Result<Option<&(RecordKey, Record)>, Failure> {
    match records.peek() {
        None => Ok(None),
        Some(Ok(found)) => Ok(Some(found)),
        Some(Err(error)) => Err(error.clone().into()),
    }
}

/// Byte for byte; the target may know more schemas of a type, which mean nothing for the records that are there.
fn is_same(key: &RecordKey, record: &Record, other: &Record) -> bool {
    if record.bytes == other.bytes {
        return true;
    }
    let Place::Schema(name) = place(key) else { return false };
    let parse = |record: &Record| StoredType::parse(&name, record.bytes.clone());
    matches!((parse(record), parse(other)), (Ok(source), Ok(target)) if target.begins_with(&source))
}
