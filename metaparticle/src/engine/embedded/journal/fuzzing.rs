//! Opens a journal of hostile bytes.

use std::path::Path;

use super::Journal;
use super::segment::{HEADER_BYTES, Layout};
use super::{SEGMENT_BYTES, entry};
use crate::engine::embedded::map::{Group, Log};
use crate::engine::{Record, RecordKey, Version};
use crate::error::Result;

/// Room for a few entries.
const SEGMENT: usize = 1024;

type Plain = (u64, Vec<(RecordKey, Option<Record>)>);

/// Opens the journal whose segments, from number `first` on, have these bytes behind their headers, and appends to it. What is read
/// must be read again. Gives the number of groups.
pub fn journal(folder: &Path, first: u64, segments: &[&[u8]], sealed: bool, after: u64) -> Result<usize> {
    const { assert!(SEGMENT < SEGMENT_BYTES) };
    let layout = || Layout { folder: folder.to_owned(), store_id: 5, segment_bytes: SEGMENT };
    for (number, content) in (first..).zip(segments) {
        layout().write(number, content, sealed);
    }
    let (mut journal, mut groups) = open(layout(), after)?;
    let last = journal.last_commit + 1;
    let record = Record { version: Version::new(9), bytes: vec![0xff; 100].into() };
    let next = Group { changes: vec![(RecordKey::new(*b"key"), Some(record))], last_commit: last };
    journal.append(&next)?;
    groups.push((next.last_commit, next.changes));
    drop(journal);
    let (_, again) = open(layout(), after).expect("what was opened opens again");
    assert_eq!(again, groups, "it has other groups when it is opened again");
    Ok(groups.len())
}

fn open(layout: Layout, after: u64) -> Result<(Journal, Vec<Plain>)> {
    let mut groups = Vec::new();
    let journal = Journal::open_in(layout, after, &mut |group| {
        groups.push((group.last_commit, group.changes));
        Ok(())
    })?;
    Ok((journal, groups))
}

impl Layout {
    fn write(&self, number: u64, content: &[u8], sealed: bool) {
        let mut bytes = self.header(number).to_vec();
        bytes.extend_from_slice(&content[..content.len().min(SEGMENT - HEADER_BYTES)]);
        bytes.resize(SEGMENT, 0);
        if sealed {
            let mut rest = &mut bytes[HEADER_BYTES..];
            while let Some(length) = entry::seal(rest, self.seed(number)) {
                rest = &mut rest[length..];
            }
        }
        std::fs::write(self.path(number), bytes).expect("the folder can be written to");
    }
}
