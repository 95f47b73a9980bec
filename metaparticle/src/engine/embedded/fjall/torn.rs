//! What a power cut has left of the last batch in fjall's journal.
//!
//! Each batch is synced before the next one is begun, so that only the last one may not be whole. Where its marks are not all
//! there, fjall discards it. Where they are, and something between them is not, fjall takes the journal for damaged; so that batch is
//! put aside here.
//!
//! A batch of fjall 3 is a start (`1`, how many items `u32`, a sequence number `u64`), items (`2`, kind `u8`, compression `u8`, keyspace
//! `u64`, length of the key `u16`, of the value `u32`, of the value as it is stored `u32`, key, value) and clears (`4`, keyspace `u64`),
//! and an end (`3`, XXH3 of the items and clears `u64`, `FJL\x03`). Numbers are little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::super::files::io_error;
use super::super::folder::Folder;
use crate::error::Result;

const MAGIC: [u8; 4] = *b"FJL\x03";

/// Puts the last batch aside if fjall would refuse the journal for it; whether it was put aside.
pub(super) fn put_torn_batch_aside(folder: &Folder) -> Result<bool> {
    let Some(journal) = last_journal(&folder.files()) else { return Ok(false) };
    let failed = |what: &'static str| move |error| io_error(&folder.files(), what, error);
    let mut file = OpenOptions::new().read(true).write(true).open(&journal).map_err(failed("its journal cannot be opened"))?;
    let Some(torn) = find_torn(BufReader::new(&file)).map_err(failed("its journal cannot be read"))? else { return Ok(false) };
    let aside = folder.aside().join(format!("torn-{:016x}", fastrand::u64(..)));
    let put_aside = fs::create_dir_all(folder.aside()).and_then(|()| copy(&mut file, &torn, &aside));
    put_aside.map_err(failed("a torn end of its journal cannot be put aside"))?;
    let cut = file.set_len(torn.start).and_then(|()| file.sync_all());
    cut.map_err(failed("a torn end of its journal cannot be cut off"))?;
    Ok(true)
}

/// The one that is written to. All others are synced before it is made.
fn last_journal(files: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(files).ok()?.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let last = names.filter_map(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok()).max()?;
    Some(files.join(format!("{last}.jnl")))
}

fn copy(file: &mut File, part: &Range<u64>, to: &Path) -> io::Result<()> {
    file.seek(SeekFrom::Start(part.start))?;
    let mut copy = File::create_new(to)?;
    io::copy(&mut file.take(part.end - part.start), &mut copy)?;
    copy.sync_all()
}

/// Where the last batch is, if fjall would refuse the journal for it.
fn find_torn(journal: impl Read) -> io::Result<Option<Range<u64>>> {
    let mut batches = Batches { journal, at: 0 };
    loop {
        let start = batches.at;
        let torn = match batches.next() {
            Ok(Next::Whole) => continue,
            // If something follows, this one was synced, and the journal is damaged indeed.
            Ok(Next::Torn) => is_blank(&mut batches.journal)?,
            Ok(Next::Unequal) => true,
            Ok(Next::Incomplete) => false,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        return Ok(torn.then_some(start..batches.at));
    }
}

/// What comes next in a journal.
enum Next {
    /// A batch as it was written.
    Whole,
    /// One that has all of its marks, and is not what was written.
    Torn,
    /// One in which a value has two lengths. In programs with debug assertions, fjall panics at it; in others, it discards it.
    Unequal,
    /// One that does not have its marks, which fjall discards, or none.
    Incomplete,
}

/// Whether nothing but zeros follows: the journal is longer than what was written to it.
fn is_blank(journal: &mut impl Read) -> io::Result<bool> {
    let mut part = [0; 8 << 10];
    loop {
        match journal.read(&mut part)? {
            0 => return Ok(true),
            read if part[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

struct Batches<R> {
    journal: R,
    at: u64,
}

impl<R: Read> Batches<R> {
    fn next(&mut self) -> io::Result<Next> {
        if self.read()? != [1] {
            return Ok(Next::Incomplete);
        }
        let items = u32::from_le_bytes(self.read()?);
        let _sequence_number: [u8; 8] = self.read()?;
        let (mut found, mut hash) = (0, Xxh3::new());
        loop {
            let tag: [u8; 1] = self.read()?;
            match tag {
                [2] if !self.item(&mut hash)? => return Ok(Next::Unequal),
                [2] => {}
                [3] => break,
                [4] => {
                    hash.update(&tag);
                    hash.update(&self.read::<8>()?);
                }
                _ => return Ok(Next::Incomplete),
            }
            found += 1;
        }
        let checksum = u64::from_le_bytes(self.read()?);
        if self.read()? != MAGIC {
            return Ok(Next::Incomplete);
        }
        Ok(if found == items && checksum == hash.digest() { Next::Whole } else { Next::Torn })
    }

    /// Whether the lengths of an item's value are the same.
    fn item(&mut self, hash: &mut Xxh3) -> io::Result<bool> {
        let fixed: [u8; 10] = self.read()?;
        let (key, value, stored) = (self.read::<2>()?, self.read::<4>()?, self.read::<4>()?);
        for part in [&[2][..], &fixed, &key, &value, &stored] {
            hash.update(part);
        }
        let mut left = u64::from(u16::from_le_bytes(key)) + u64::from(u32::from_le_bytes(stored));
        let mut part = [0; 8 << 10];
        while left > 0 {
            let part = &mut part[..left.min(8 << 10) as usize];
            self.journal.read_exact(part)?;
            hash.update(part);
            left -= part.len() as u64;
            self.at += part.len() as u64;
        }
        Ok(value == stored)
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.journal.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }
}
