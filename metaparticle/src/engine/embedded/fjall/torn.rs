//! What a power cut has left of the last batch in fjall's journal.
//!
//! Each batch is synced before the next one is begun, so that only the last one may not be whole. Where its marks are not all
//! there, fjall discards it. Where they are, and something between them is not, fjall takes the journal for damaged; so that batch is
//! put aside here. And what fjall cannot even refuse is found.
//!
//! A batch of fjall 3 is a start (`1`, how many items `u32`, a sequence number `u64`), items (`2`, kind `u8`, compression `u8`, keyspace
//! `u64`, length of the key `u16`, of the value `u32`, of the value as it is stored `u32`, key, value) and clears (`4`, keyspace `u64`),
//! and an end (`3`, XXH3 of the items and clears `u64`, `FJL\x03`). Numbers are little-endian. Behind the last one there are zeros.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::super::files::{io_error, parent, sync_path};
use super::super::folder::Folder;
use crate::error::Result;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";

/// Puts the last batch aside if fjall would refuse the journal for it; whether it was put aside.
pub(super) fn put_torn_batch_aside(folder: &Folder) -> Result<bool> {
    let Some(journal) = journals(&folder.files()).pop() else { return Ok(false) };
    let failed = |what: &'static str| move |error| io_error(parent(&folder.files()), what, error);
    let open = OpenOptions::new().read(true).write(true).open(&journal);
    let mut file = open.map_err(failed("fjall's journal cannot be opened"))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed("fjall's journal cannot be read"))?;
    let Some(torn) = find_torn(&content) else { return Ok(false) };
    let end = content.iter().rposition(|byte| *byte != 0).map_or(torn, |last| last + 1);
    let kept = keep(&folder.aside(), &content[torn..end]);
    kept.map_err(failed("the torn end of fjall's journal cannot be put aside"))?;
    let cut = file.set_len(torn as u64).and_then(|()| file.sync_all());
    cut.map_err(failed("the torn end of fjall's journal cannot be cut off"))?;
    Ok(true)
}

/// A journal behind which another one is, if a value in it has two lengths: fjall would panic twice, which ends the process.
pub(super) fn sealed_with_two_lengths(files: &Path) -> io::Result<Option<PathBuf>> {
    // Otherwise, fjall takes no notice of it.
    if !cfg!(debug_assertions) {
        return Ok(None);
    }
    let mut journals = journals(files);
    journals.pop();
    for journal in journals {
        let content = fs::read(&journal)?;
        let mut rest = &content[..];
        while let Some(batch) = read_batch(&mut rest) {
            if matches!(batch, Batch::Unequal) {
                return Ok(Some(journal));
            }
        }
    }
    Ok(None)
}

/// In their order. The last one is written to, and all others were synced before it was made.
fn journals(files: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(files).into_iter().flatten().filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u64> = names.filter_map(|name| name.strip_suffix(".jnl")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| files.join(format!("{number}.jnl"))).collect()
}

fn keep(aside: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(aside)?;
    let mut file = File::create_new(aside.join(format!("torn-{:016x}", fastrand::u64(..))))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_path(aside)?;
    sync_path(parent(aside))
}

/// Where the last batch begins, if fjall would refuse the journal for it. One that another follows was synced, and the journal is
/// damaged indeed.
fn find_torn(journal: &[u8]) -> Option<usize> {
    let mut rest = journal;
    loop {
        let at = journal.len() - rest.len();
        let is_last = match read_batch(&mut rest)? {
            Batch::Whole => continue,
            Batch::Torn => rest.iter().all(|byte| *byte == 0),
            // Where it ends is not known.
            Batch::Unequal => !rest.windows(MAGIC.len() + 1).any(|bytes| bytes.starts_with(&MAGIC) && bytes.ends_with(&[START])),
        };
        return is_last.then_some(at);
    }
}

enum Batch {
    Whole,
    /// It has all of its marks, and is not what was written.
    Torn,
    /// A value has two lengths. fjall panics at it, in a program with debug assertions.
    Unequal,
}

/// Takes the next batch; none if it does not have its marks, so that fjall discards it.
fn read_batch(journal: &mut &[u8]) -> Option<Batch> {
    if take(journal)? != [START] {
        return None;
    }
    let items = u32::from_le_bytes(take(journal)?);
    let _sequence_number: [u8; 8] = take(journal)?;
    let (content, mut found) = (*journal, 0);
    loop {
        let end = content.len() - journal.len();
        let [tag] = take(journal)?;
        match tag {
            ITEM => {
                let _kind_compression_keyspace: [u8; 10] = take(journal)?;
                let key = u16::from_le_bytes(take(journal)?);
                let (value, stored) = (u32::from_le_bytes(take(journal)?), u32::from_le_bytes(take(journal)?));
                if value != stored {
                    return Some(Batch::Unequal);
                }
                *journal = journal.get(usize::from(key) + stored as usize..)?;
            }
            CLEAR => _ = take::<8>(journal)?,
            END => {
                let checksum = u64::from_le_bytes(take(journal)?);
                if take(journal)? != MAGIC {
                    return None;
                }
                let is_whole = found == items && checksum == xxh3_64(&content[..end]);
                return Some(if is_whole { Batch::Whole } else { Batch::Torn });
            }
            _ => return None,
        }
        found += 1;
    }
}

fn take<const N: usize>(journal: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = journal.split_first_chunk()?;
    *journal = rest;
    Some(*taken)
}
