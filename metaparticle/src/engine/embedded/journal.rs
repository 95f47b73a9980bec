//! The commit journal: whole groups, in order, each on disk with one write and one sync.
//!
//! The map follows behind. What it has durably is *released*: segments that hold nothing newer become the next ones. There is
//! always one more segment behind the one that is written to: a switch costs no time, and a segment that is lost leaves a gap.
//! It is taken for granted that writing a disk sector again does not harm the bytes of it that stay the same.

mod entry;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod unreleased;

use std::collections::VecDeque;
use std::path::Path;

use self::recovery::End;
use self::segment::{HEADER_BYTES, Layout, Segment};
use self::unreleased::Unreleased;
use super::map::{Group, Log, NUMBERS};
use crate::error::{Error, ErrorKind, Result};

/// Much more than a group, so that switches are rare, and little enough to be made while committers wait.
const SEGMENT_BYTES: usize = 8 << 20;

/// A journal that this process has to itself.
pub(crate) struct Journal {
    layout: Layout,
    /// Those before `current` are full, those behind it have nothing yet.
    segments: VecDeque<Segment>,
    current: usize,
    /// Where the next entry of the current segment begins.
    end: usize,
    last_commit: u64,
    unreleased: Unreleased,
    /// Kept, because each group would otherwise allocate.
    entry: Vec<u8>,
    failed: Option<Error>,
}

impl Journal {
    /// Makes the journal of a new store, or what is missing of it.
    pub(crate) fn make(folder: &Path, store_id: u128) -> Result<()> {
        Self::make_in(&Self::layout(folder, store_id))
    }

    fn make_in(layout: &Layout) -> Result<()> {
        layout.make_folder()?;
        let mut segments = layout.open()?;
        while segments.len() < 2 {
            segments.push(layout.make(segments.last().map_or(1, |last| last.number + 1))?);
        }
        Ok(())
    }

    fn layout(folder: &Path, store_id: u128) -> Layout {
        Layout { folder: folder.to_owned(), store_id, segment_bytes: SEGMENT_BYTES }
    }

    /// Opens the journal in `folder`, of the store with this id. Every group above `after`, the newest commit that the map has
    /// durably, is given to `replay`, in order. An end that a crash has torn is cut off; what is damaged otherwise is an error,
    /// and nothing is replayed or changed.
    ///
    /// The last entry, damaged later, cannot be told from a torn one.
    pub(crate) fn open(folder: &Path, store_id: u128, after: u64, replay: &mut dyn FnMut(Group) -> Result<()>) -> Result<Self> {
        Self::open_in(Self::layout(folder, store_id), after, replay)
    }

    fn open_in(layout: Layout, after: u64, replay: &mut dyn FnMut(Group) -> Result<()>) -> Result<Self> {
        let mut segments = layout.open()?;
        // Read twice, so that nothing is replayed of a journal that turns out to be damaged.
        let end = recovery::verify(&layout, &mut segments, after)?;
        secure_end(&layout, &mut segments, end, after)?;
        let mut unreleased = Unreleased::new(layout.segment_bytes);
        recovery::replay(&layout, &mut segments[..=end.segment], after, &mut |group, bytes| {
            unreleased.add(group.last_commit, bytes);
            replay(group)
        })?;
        Ok(Self {
            layout,
            segments: segments.into(),
            current: end.segment,
            end: end.at,
            last_commit: end.last_commit.max(after),
            unreleased,
            entry: Vec::new(),
            failed: None,
        })
    }

    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn write(&mut self, group: &Group, bytes: usize) -> Result<()> {
        if bytes > self.layout.segment_bytes - self.end {
            self.begin_next_segment()?;
        }
        let segment = &mut self.segments[self.current];
        entry::encode(group, self.last_commit, segment.seed, &mut self.entry);
        segment.write(self.end, &self.entry)?;
        segment.sync()?;
        segment.last_commit = group.last_commit;
        self.end += bytes;
        self.last_commit = group.last_commit;
        self.unreleased.add(group.last_commit, bytes);
        Ok(())
    }

    fn begin_next_segment(&mut self) -> Result<()> {
        if self.current + 2 == self.segments.len() {
            let next = self.layout.make(self.segments[self.current + 1].number + 1)?;
            self.segments.push_back(next);
        }
        self.current += 1;
        self.end = HEADER_BYTES;
        Ok(())
    }

    fn renew_segments(&mut self, commit: u64) -> Result<()> {
        while self.current > 0 && self.segments[0].last_commit <= commit {
            let number = self.segments[self.segments.len() - 1].number + 1;
            let Some(segment) = self.segments.pop_front() else { break };
            self.current -= 1;
            self.segments.push_back(self.layout.renew(segment, number)?);
        }
        Ok(())
    }
}

impl Log for Journal {
    /// Writes a group, which then survives a power cut. After a failure, every call fails.
    fn append(&mut self, group: &Group) -> Result<()> {
        self.check()?;
        let bytes = entry::entry_bytes(group);
        let most = self.layout.segment_bytes - HEADER_BYTES;
        if bytes > most {
            let message = format!("commit {} takes {bytes} bytes in the journal, and at most {most} fit", group.last_commit);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if group.last_commit <= self.last_commit || group.last_commit >= NUMBERS {
            let message = format!("commit {} cannot follow commit {} in the journal", group.last_commit, self.last_commit);
            return Err(Error::new(ErrorKind::Engine, message));
        }
        self.write(group, bytes).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// Takes note that the map has everything up to `commit` durably.
    fn release(&mut self, commit: u64) -> Result<()> {
        self.check()?;
        self.unreleased.release(commit);
        self.renew_segments(commit).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// Bytes that were appended and not released yet. Released ones count for a while if some right behind them are not.
    fn bytes(&self) -> u64 {
        self.unreleased.bytes()
    }
}

/// Removes what is behind the end, where a torn entry is, or at the start of the next segment if it did not fit; and makes last what
/// is before it, if the map has not all of that.
fn secure_end(layout: &Layout, segments: &mut [Segment], end: End, after: u64) -> Result<()> {
    let mut content = Vec::new();
    let last = &mut segments[end.segment];
    layout.read(last, &mut content)?;
    last.clear(end.at, &content)?;
    if end.last_commit > after {
        last.write_again(&content[..end.at])?;
    } else {
        last.sync()?;
    }
    if let Some(next) = segments.get_mut(end.segment + 1) {
        layout.read(next, &mut content)?;
        next.clear(HEADER_BYTES, &content)?;
    }
    layout.sync_names()
}
