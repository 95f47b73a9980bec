//! What the shim has noted: `shim.c` says what the entries mean.

use std::fs;
use std::path::Path;

use crate::campaign::{Failure, Result};

#[derive(Debug)]
pub(super) enum Entry {
    Written { inode: u64, offset: usize, bytes: Bytes },
    Resized { inode: u64, length: usize },
    Synced { inode: u64 },
    Unsynced { inode: u64 },
    Made { inode: u64, name: String, is_folder: bool },
    Renamed { from: String, to: String },
    Removed { name: String },
    Linked { from: String, to: String },
    Failed { what: String },
}

/// What is written to a file.
#[derive(Debug)]
pub(super) enum Bytes {
    These(Vec<u8>),
    Zeros(usize),
}

const WRITTEN: u32 = 1;
const ZEROED: u32 = 2;
const RESIZED: u32 = 3;
const SYNCED: u32 = 4;
const UNSYNCED: u32 = 5;
const MADE: u32 = 6;
const RENAMED: u32 = 7;
const REMOVED: u32 = 8;
const LINKED: u32 = 9;
const FAILED: u32 = 10;

/// The entries of a process that has ended; none if it has not come to its first.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>> {
    let log = if path.exists() { fs::read(path)? } else { Vec::new() };
    let mut rest = &log[..];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let at = log.len() - rest.len();
        entries.push(entry(&mut rest).ok_or_else(|| Failure::not_run(format!("the shim's log cannot be read at byte {at}")))?);
    }
    Ok(entries)
}

fn entry(rest: &mut &[u8]) -> Option<Entry> {
    let kind = u32::from_ne_bytes(take(rest)?);
    let (first, second, _zero) = (take_u32(rest)?, take_u32(rest)?, take_u32(rest)?);
    let (inode, offset, length) = (take_u64(rest)?, take_u64(rest)? as usize, take_u64(rest)? as usize);
    let (first, second) = (take_text(rest, first)?, take_text(rest, second)?);
    Some(match kind {
        WRITTEN => Entry::Written { inode, offset, bytes: Bytes::These(take_slice(rest, length)?.to_vec()) },
        ZEROED => Entry::Written { inode, offset, bytes: Bytes::Zeros(length) },
        RESIZED => Entry::Resized { inode, length },
        SYNCED => Entry::Synced { inode },
        UNSYNCED => Entry::Unsynced { inode },
        MADE => Entry::Made { inode, name: first, is_folder: offset == 1 },
        RENAMED => Entry::Renamed { from: first, to: second },
        REMOVED => Entry::Removed { name: first },
        LINKED => Entry::Linked { from: first, to: second },
        FAILED => Entry::Failed { what: first },
        // Something that the shim does not understand either.
        _ => return None,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*first)
}

fn take_u32(rest: &mut &[u8]) -> Option<usize> {
    Some(u32::from_ne_bytes(take(rest)?) as usize)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(take(rest)?))
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (slice, others) = rest.split_at_checked(length)?;
    *rest = others;
    Some(slice)
}

fn take_text(rest: &mut &[u8], length: usize) -> Option<String> {
    String::from_utf8(take_slice(rest, length)?.to_vec()).ok()
}
