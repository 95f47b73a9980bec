//! How large sled's segments are, and with them what it may be given at once.
//!
//! sled's log is made of segments, which it may sync in any order. No two may be begun and not synced: where the power is cut, and the
//! start of the second is on disk and that of the first is not, sled takes all of its log for torn. Between two syncs it is given so
//! little that it fills less than a segment with it.

use std::fs;
use std::io;
use std::path::Path;

use super::super::files::io_error;
use super::super::folder::{Folder, Stage};
use crate::error::{Error, ErrorKind, Result};

/// Of a new store. What is larger than a quarter of a segment goes to a file that is never synced: nodes are smaller, also those
/// that have 256 keys of 1 KiB.
const BYTES: usize = 8 << 20;

/// What sled may be given at once, for segments of so many bytes. It writes about three times what it is given. If each change makes
/// it write a whole leaf of 16 values, it is up to 17 times; and twice that, if it moves another leaf out of an old segment each time.
pub(super) const fn part_bytes(segment_bytes: usize) -> usize {
    segment_bytes / 34
}

/// How large they are. sled keeps that in a file, of which it does not mind the checksum, and which it makes anew if it is gone.
pub(super) fn segment_bytes(path: &Path, folder: &Folder) -> Result<usize> {
    let file = folder.files().join("conf");
    let content = match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error| io_error(&file, "it cannot be read", error))?,
    };
    match (parse(&content), folder.mark().stage) {
        (Some(bytes), _) => Ok(bytes),
        // Nothing was ever stored in it.
        (None, Stage::BeingMade) => Ok(BYTES),
        (None, Stage::Open | Stage::Closed) => {
            let message = format!("the store {} is damaged: `sled/conf` is not as sled has written it", path.display());
            Err(Error::new(ErrorKind::Corrupt, message))
        }
    }
}

/// Lines of a name and a value, and their CRC-32.
fn parse(content: &[u8]) -> Option<usize> {
    let (text, checksum) = content.split_last_chunk()?;
    if crc32fast::hash(text) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    let bytes = lines.find_map(|line| line.strip_prefix("segment_size: "))?.parse().ok()?;
    // What sled takes.
    (usize::is_power_of_two(bytes) && (256..=16 << 20).contains(&bytes)).then_some(bytes)
}
