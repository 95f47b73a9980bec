//! Reads the entries that there are, and tells an end that a crash has torn from damage.
//!
//! A group is written after the one before was synced, so only the last entry can be torn: it is the one that does not fit its
//! checksums and has none behind it that does.

use super::entry::{ALIGNMENT, Head};
use super::segment::{HEADER_BYTES, Layout, Segment, is_zero};
use crate::engine::embedded::map::Group;
use crate::error::Result;

/// Where the whole entries end.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// The place of the segment among the others.
    pub(super) segment: usize,
    pub(super) at: usize,
    pub(super) last_commit: u64,
}

const START: End = End { segment: 0, at: HEADER_BYTES, last_commit: 0 };

/// Finds the end, and whatever is damaged. Everything up to `after` is in the map.
pub(super) fn verify(layout: &Layout, segments: &mut [Segment], after: u64) -> Result<End> {
    let mut end = START;
    let mut content = Vec::new();
    for (place, segment) in segments.iter_mut().enumerate() {
        layout.read(segment, &mut content)?;
        let before = end.last_commit;
        let at = read_entries(segment, &content, &mut end.last_commit, after, &mut |_, _| Ok(()))?;
        if let Some(later) = later_entry(&content, at, segment.seed, end.last_commit) {
            return Err(segment.damaged(&format!("the entry at byte {at} cannot be read, and there is another at {later}")));
        }
        if end.last_commit > before {
            segment.last_commit = end.last_commit;
            end = End { segment: place, at, ..end };
        }
    }
    check_ends(layout, segments, end)?;
    Ok(end)
}

/// Gives every group above `after` to `replay`, with the size of its entry.
pub(super) fn replay(
    layout: &Layout,
    segments: &mut [Segment],
    after: u64,
    replay: &mut dyn FnMut(Group, usize) -> Result<()>,
) -> Result<()> {
    let mut last_commit = START.last_commit;
    let mut content = Vec::new();
    for segment in segments {
        layout.read(segment, &mut content)?;
        read_entries(segment, &content, &mut last_commit, after, replay)?;
    }
    Ok(())
}

/// Reads the whole entries of a segment, which follow `last_commit`, and tells where they end.
fn read_entries(
    segment: &Segment,
    content: &[u8],
    last_commit: &mut u64,
    after: u64,
    replay: &mut dyn FnMut(Group, usize) -> Result<()>,
) -> Result<usize> {
    let mut at = HEADER_BYTES;
    while let Some((head, body)) = whole_entry(&content[at..], segment.seed) {
        // What is missing is in the map: its entry was damaged, and the last, when the journal was opened before.
        let in_map = *last_commit < head.previous && head.previous <= after;
        if head.previous != *last_commit && !in_map {
            let (previous, last) = (head.previous, after.max(*last_commit));
            return Err(
                segment.damaged(&format!("the entry at byte {at} follows commit {previous}, and there is none after {last}"))
            );
        }
        if head.last_commit > after {
            let group = head.decode(body).ok_or_else(|| segment.damaged(&format!("the entry at byte {at} is not one")))?;
            replay(group, head.entry_bytes())?;
        }
        at += head.entry_bytes();
        *last_commit = head.last_commit;
    }
    Ok(at)
}

/// A first segment that nothing was written to would have been another one's follower, and a last one that something was
/// written to would have a follower.
fn check_ends(layout: &Layout, segments: &[Segment], end: End) -> Result<()> {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return Err(layout.damaged("all of its segments are missing"));
    };
    if end.last_commit == 0 && first.number != 1 {
        return Err(first.damaged("it has no entry that can be read, and the segment before it is missing"));
    }
    if end.segment + 1 == segments.len() {
        return Err(last.damaged("the segment behind it is missing"));
    }
    Ok(())
}

/// The entry that `bytes` begin with, if it is whole.
fn whole_entry(bytes: &[u8], seed: u32) -> Option<(Head, &[u8])> {
    let head = Head::read(bytes, seed)?;
    Some((head, head.body(bytes, seed)?))
}

/// Where an entry begins behind the one that ought to be at `at` and is not whole.
fn later_entry(content: &[u8], at: usize, seed: u32, last_commit: u64) -> Option<usize> {
    // What is inside of a torn entry is not behind it: a record may have any bytes.
    let behind = at + Head::read(&content[at..], seed).map_or(ALIGNMENT, |head| head.entry_bytes());
    if is_zero(content.get(behind..)?) {
        return None;
    }
    (behind..content.len()).step_by(ALIGNMENT).find(|&at| {
        // A head is enough: whether its entry is torn or not, the one before it was synced.
        Head::read(&content[at..], seed).is_some_and(|head| head.last_commit > last_commit)
    })
}
