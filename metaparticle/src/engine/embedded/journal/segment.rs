//! The files of a journal: segments of one size, filled with zeros before they get their names, and used again under others.
//!
//! A segment's name is its number, in 16 hexadecimal digits. It begins with a header of 64 bytes: magic `metajrnl`, format `u16`,
//! store id `u128`, number `u64`, CRC-32 of all that `u32`; the rest is zero. Entries follow without a gap. A segment gets its
//! name when its content is on disk, so that whatever has a name is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::engine::embedded::files::{io_error, parent, sync_path};
use crate::engine::embedded::map::NUMBERS;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};

const MAGIC: &[u8; 8] = b"metajrnl";
const FORMAT: u16 = 1;
const CHECKED_BYTES: usize = 8 + 2 + 16 + 8;
pub(super) const HEADER_BYTES: usize = 64;
/// What has no name yet. One that is left by a crash is overwritten by the next.
const NAMELESS: &str = "unnamed";

/// A file of the journal, open.
pub(super) struct Segment {
    pub(super) number: u64,
    /// The newest commit in it; 0 if it has none.
    pub(super) last_commit: u64,
    /// What its checksums begin with.
    pub(super) seed: u32,
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Segment {
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let written = self.file.seek(SeekFrom::Start(at as u64)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| io_error(&self.path, "it cannot be written", error))
    }

    pub(super) fn sync(&self) -> Result<()> {
        let synced = if planted(Bug::SkipJournalSync) { Ok(()) } else { self.file.sync_data() };
        let synced = if planted(Bug::ForgiveFailedSync) { Ok(()) } else { synced };
        synced.map_err(|error| io_error(&self.path, "it cannot be synced", error))
    }

    /// Makes everything from `at` on zero, durably. `content` is what the segment has.
    pub(super) fn clear(&mut self, at: usize, content: &[u8]) -> Result<()> {
        let rest = content.get(at..).unwrap_or_default();
        if is_zero(rest) {
            return Ok(());
        }
        self.write(at, &vec![0; rest.len()])?;
        self.sync()
    }

    /// Makes what it begins with last: that of a killed process may not be synced. If a sync has failed, the next one succeeds although
    /// it writes nothing, because the system has given up what it could not write; so all is written again.
    pub(super) fn write_again(&mut self, content: &[u8]) -> Result<()> {
        if !planted(Bug::TrustFailedSync) {
            self.write(0, content)?;
        }
        self.sync()
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        damaged(&self.path, what)
    }
}

/// What the segments of a journal have in common.
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    pub(super) store_id: u128,
    pub(super) segment_bytes: usize,
}

impl Layout {
    /// Makes the folder, if there is none.
    pub(super) fn make_folder(&self) -> Result<()> {
        match DirBuilder::new().create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error(&self.folder, "its folder cannot be made", error))
            }
            _ => sync_path(parent(&self.folder)).map_err(|error| io_error(&self.folder, "its name cannot be synced", error)),
        }
    }

    /// The segments that there are, in order.
    pub(super) fn open(&self) -> Result<Vec<Segment>> {
        let files = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.damaged("it is missing")),
            files => files.and_then(Iterator::collect::<io::Result<Vec<_>>>),
        };
        let files = files.map_err(|error| io_error(&self.folder, "its files cannot be listed", error))?;
        let mut numbers: Vec<u64> = files.iter().filter_map(|file| number(file.file_name().to_str()?)).collect();
        numbers.sort_unstable();
        if let Some(pair) = numbers.windows(2).find(|pair| pair[1] - pair[0] != 1) {
            return Err(damaged(&self.path(pair[0] + 1), "it is missing"));
        }
        let open = |number| {
            let path = self.path(number);
            let file = OpenOptions::new().read(true).write(true).open(&path);
            let file = file.map_err(|error| io_error(&path, "it cannot be opened", error))?;
            Ok(self.segment(number, file))
        };
        numbers.into_iter().map(open).collect()
    }

    /// A new segment, of real zeros: a sync of what was written into a hole writes where it is, too, and takes twice as long.
    pub(super) fn make(&self, number: u64) -> Result<Segment> {
        let path = self.folder.join(NAMELESS);
        let made = || {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
            file.write_all(&vec![0; self.segment_bytes])?;
            Ok(file)
        };
        let file = made().map_err(|error| io_error(&path, "it cannot be made", error))?;
        self.name(number, file)
    }

    /// Uses a segment again, under another number. What it holds is gone for the journal before it is overwritten.
    pub(super) fn renew(&self, mut segment: Segment, number: u64) -> Result<Segment> {
        if planted(Bug::RenewUnderOldName) {
            segment.write(0, &self.header(number))?;
        }
        let renamed = fs::rename(&segment.path, self.folder.join(NAMELESS));
        renamed.map_err(|error| io_error(&segment.path, "it cannot be renamed", error))?;
        self.sync_names()?;
        self.name(number, segment.file)
    }

    /// Makes a segment of the nameless file, whose handle is `file`.
    fn name(&self, number: u64, mut file: File) -> Result<Segment> {
        if number >= NUMBERS {
            return Err(self.damaged("its numbers are used up"));
        }
        let path = self.folder.join(NAMELESS);
        let named = || {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&self.header(number))?;
            file.sync_all()?;
            fs::rename(&path, self.path(number))?;
            Ok(file)
        };
        let file = named().map_err(|error| io_error(&path, "it cannot be made a segment", error))?;
        self.sync_names()?;
        Ok(self.segment(number, file))
    }

    pub(super) fn sync_names(&self) -> Result<()> {
        sync_path(&self.folder).map_err(|error| io_error(&self.folder, "its names cannot be synced", error))
    }

    /// Puts the content of a segment into `content`, unless it is not the segment that it should be.
    pub(super) fn read(&self, segment: &mut Segment, content: &mut Vec<u8>) -> Result<()> {
        content.clear();
        let file = &mut segment.file;
        let mut read = || {
            file.seek(SeekFrom::Start(0))?;
            // One byte more than there should be, to notice it.
            file.take(self.segment_bytes as u64 + 1).read_to_end(content)
        };
        read().map_err(|error| io_error(&segment.path, "it cannot be read", error))?;
        if content.starts_with(&self.header(segment.number)) && content.len() == self.segment_bytes {
            return Ok(());
        }
        Err(segment.damaged(&self.explain(segment.number, content)))
    }

    pub(super) fn header(&self, number: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.store_id.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header[..bytes.len()].copy_from_slice(&bytes);
        header
    }

    /// What is wrong with a segment that is not as it should be.
    fn explain(&self, number: u64, content: &[u8]) -> String {
        let Some((checked, rest)) = content.split_at_checked(CHECKED_BYTES) else { return "it is too short".to_owned() };
        let expected = self.header(number);
        if !checked.starts_with(MAGIC) || !rest.starts_with(&crc32fast::hash(checked).to_le_bytes()) {
            return "its header cannot be read".to_owned();
        }
        if checked[8..10] != expected[8..10] {
            let format = u16::from_le_bytes([checked[8], checked[9]]);
            return format!("it has format {format}, and this program knows format {FORMAT} only");
        }
        if checked[10..26] != expected[10..26] {
            return "it is one of another store".to_owned();
        }
        if checked[26..] != expected[26..CHECKED_BYTES] {
            return "it has the name of another segment".to_owned();
        }
        if content.len() != self.segment_bytes {
            return format!("it has another length than {} bytes", self.segment_bytes);
        }
        "its header cannot be read".to_owned()
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}"))
    }

    fn segment(&self, number: u64, file: File) -> Segment {
        Segment { number, last_commit: 0, seed: self.seed(number), path: self.path(number), file }
    }

    /// What the checksums of a segment's entries begin with.
    pub(super) fn seed(&self, number: u64) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.store_id.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        hasher.finalize()
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        damaged(&self.folder, what)
    }
}

/// Compares the bytes with those before them: one call of the system's, which is quick in debug builds, too.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.split_first().is_none_or(|(first, rest)| *first == 0 && rest == &bytes[..rest.len()])
}

/// The number that a file's name says, if it is a segment's.
fn number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name, 16).ok()?;
    (number < NUMBERS && name == format!("{number:016x}")).then_some(number)
}

fn damaged(path: &Path, what: &str) -> Error {
    let message =
        format!("the journal is damaged: {}: {what}; nothing was changed, restore the store from a copy", path.display());
    Error::new(ErrorKind::Corrupt, message)
}
