//! The folder of a store: whose it is, who may use it, and a mark that says how far it had come.
//!
//! | name | what |
//! |---|---|
//! | `metaparticle` | the mark: two slots of 64 bytes at 0 and 512, written in turn, so that a torn write leaves the other |
//! | `lock` | locked by the process that has the store open |
//! | `sled/` or `fjall/` | the files of the ordered map, named after its library |
//! | `journal/` | commits that the map may not have yet |
//!
//! A slot is: magic `metapart`, format `u16` (2; in format 1, there was no journal), stage `u8` (1 being made, 2 open, 3 closed),
//! being written `u8` (1 while the map's files are changed and not synced), sequence `u64`, store id `u128`, last commit `u64`,
//! CRC-32 of all that `u32`; the rest is zero. Numbers are little-endian. The mark is written when the map has changed and not synced by itself: it may be older than what the map has,
//! after a power cut, and is never newer. If the map has less than the mark says, the map has lost something.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{for_each_file, io_error, parent, sync_path, write_again};
use super::map::NUMBERS;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};
use crate::random;
use crate::sync::{Instant, thread};

const MAGIC: &[u8; 8] = b"metapart";
/// Format 1 had no journal.
const FORMATS: RangeInclusive<u16> = 1..=2;
const SLOT_BYTES: usize = 64;
const SLOTS: [u64; 2] = [0, 512];
const CHECKED_BYTES: usize = 8 + 2 + 1 + 1 + 8 + 16 + 8;
/// A program that this process starts has all of its files for a moment, and so a lock that was given up just now.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// The libraries of ordered maps, each with files of its own that no other can read.
const LIBRARIES: [&str; 2] = ["sled", "fjall"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its first opening has not come to its end: nothing was ever stored.
    BeingMade,
    Open,
    /// It was ended properly.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) stage: Stage,
    pub(super) store_id: u128,
    pub(super) last_commit: u64,
    /// Whether the store was opened before by a program that makes one.
    pub(super) has_journal: bool,
    /// Whether the map's files were being changed. If a sync of them has failed, then they are read as they were written, and later
    /// syncs succeed, and what is on disk is something else: the system gives up what it could not write.
    is_being_written: bool,
    sequence: u64,
}

/// A folder that this process has to itself.
pub(super) struct Folder {
    path: PathBuf,
    library: &'static str,
    mark_file: File,
    mark: Mark,
    /// Whether files that are read as they were written may not be on disk.
    is_in_doubt: bool,
    // Unlocked when all else is closed: fields are dropped in order.
    _lock: File,
}

impl Folder {
    /// Takes the folder for a map of `library`, and makes it first if there is none.
    pub(super) fn open(path: &Path, library: &'static str) -> Result<Self> {
        check_ours(path, library)?;
        make(path).map_err(|error| io_error(path, "its folder cannot be made", error))?;
        let lock = lock(path)?;
        let mark_path = path.join("metaparticle");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&mark_path);
        let mark_file = open.map_err(|error| io_error(path, "its mark cannot be opened", error))?;
        let mut bytes = Vec::new();
        let read = (&mark_file).take(4096).read_to_end(&mut bytes);
        read.map_err(|error| io_error(path, "its mark cannot be read", error))?;
        // After a power cut, a file may have its length and not what was written to it.
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        if is_blank && path.join(library).exists() {
            // The mark is written before anything else is made.
            return Err(Error::new(ErrorKind::Corrupt, format!("the store {} is damaged: its mark is empty", path.display())));
        }
        let store_id = random::id();
        let fresh =
            Mark { stage: Stage::BeingMade, store_id, last_commit: 0, has_journal: false, is_being_written: false, sequence: 0 };
        let mut mark = if is_blank { fresh } else { decode(path, &bytes)? };
        let is_in_doubt = mark.is_being_written;
        if is_in_doubt && mark.stage == Stage::Closed {
            // It was opened again since, and that opening has not come to its end.
            mark.stage = Stage::Open;
        }
        let mut folder = Self { path: path.to_owned(), library, mark_file, mark, is_in_doubt, _lock: lock };
        // Libraries change their files when they open them.
        folder.begin_writing()?;
        folder.sync_mark()?;
        if folder.mark.stage == Stage::BeingMade {
            // Before anything else is made here: a folder that has that and no mark is somebody else's.
            sync_path(path).map_err(|error| io_error(path, "the name of its mark cannot be synced", error))?;
        }
        Ok(folder)
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Writes the map's files again, if they may not be on disk. Nobody may have them open.
    pub(super) fn write_again(&self) -> Result<()> {
        if !self.is_in_doubt || planted(Bug::TrustFailedSync) {
            return Ok(());
        }
        let written = for_each_file(&self.files(), &mut write_again);
        written.map_err(|error| io_error(&self.path, "its files cannot be written again, after a failure", error))
    }

    /// The folder of the map's files.
    pub(super) fn files(&self) -> PathBuf {
        self.path.join(self.library)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Takes note that the map's files are about to be changed.
    pub(super) fn begin_writing(&mut self) -> Result<()> {
        self.write_slot(Mark { is_being_written: true, ..self.mark })
    }

    /// Takes note of what is on disk; `sync_mark` makes it last.
    pub(super) fn write_mark(&mut self, stage: Stage, last_commit: u64) -> Result<()> {
        self.write_slot(Mark { stage, last_commit, has_journal: true, is_being_written: false, ..self.mark })
    }

    fn write_slot(&mut self, mark: Mark) -> Result<()> {
        let mark = Mark { sequence: self.mark.sequence + 1, ..mark };
        let at = SLOTS[(mark.sequence % 2) as usize];
        let write = self.mark_file.seek(SeekFrom::Start(at)).and_then(|_| self.mark_file.write_all(&encode(&mark)));
        write.map_err(|error| io_error(&self.path, "its mark cannot be written", error))?;
        self.mark = mark;
        Ok(())
    }

    pub(super) fn sync_mark(&self) -> Result<()> {
        self.mark_file.sync_all().map_err(|error| io_error(&self.path, "its mark cannot be synced", error))
    }

    /// Makes all files and their names last, once they are there. The libraries leave names out.
    pub(super) fn sync_names(&self) -> Result<()> {
        for_each_file(&self.files(), &mut sync_path)
            .map_err(|error| io_error(&self.path, "its files cannot be synced", error))?;
        let synced = sync_path(&self.path).and_then(|()| sync_path(parent(&self.path)));
        synced.map_err(|error| io_error(&self.path, "its folder cannot be synced", error))
    }

    /// A folder for what cannot be used and is not thrown away.
    pub(super) fn aside(&self) -> PathBuf {
        self.path.join("damaged")
    }

    /// Puts the map's files of a first opening that was cut short aside.
    pub(super) fn put_unfinished_aside(&self) -> Result<()> {
        let to = self.aside().join(format!("unfinished-{:016x}", fastrand::u64(..)));
        let moved = fs::create_dir_all(self.aside()).and_then(|()| fs::rename(self.files(), to));
        moved.map_err(|error| io_error(&self.path, "its unfinished files cannot be put aside", error))
    }
}

/// That the path is free, or a store of this library.
fn check_ours(path: &Path, library: &str) -> Result<()> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(path, "it cannot be looked at", error)),
        Ok(found) => found,
    };
    let not_ours = |what: &str| {
        let message = format!("{} is {what}, and not a store; give another path, which need not exist", path.display());
        Err(Error::new(ErrorKind::Setup, message))
    };
    if !found.is_dir() {
        return not_ours("a file");
    }
    if path.join("metaparticle").exists() {
        return match LIBRARIES.into_iter().find(|other| *other != library && path.join(other).exists()) {
            None => Ok(()),
            Some(other) => {
                let shown = path.display();
                let message = format!("the store {shown} is one of {other} and not of {library}; open it as `{other}:{shown}`");
                Err(Error::new(ErrorKind::Setup, message))
            }
        };
    }
    let files = fs::read_dir(path).map_err(|error| io_error(path, "it cannot be listed", error))?;
    // A lock alone is left by a first opening that was cut short.
    let strangers: Vec<_> =
        files.filter_map(|file| file.ok()).map(|file| file.file_name()).filter(|name| name != "lock").collect();
    match strangers.first() {
        None => Ok(()),
        Some(name) => not_ours(&format!("a folder with something else in it (`{}`)", name.to_string_lossy())),
    }
}

/// Makes the folder, for its owner only.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_parent(parent(path))?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        // Another process may have been faster; the lock decides.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes the folder that a store is to be in, such that its name survives a power cut, too.
fn make_parent(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        make_parent(parent(folder))?;
        match fs::create_dir(folder) {
            // Another process may have been faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    // Also if it was there: one that was killed may have made it. Where this process may not even look, it has made nothing.
    let synced = if planted(Bug::ForgetNewFolders) { Ok(()) } else { sync_path(parent(folder)) };
    match synced {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn lock(path: &Path) -> Result<File> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("lock"));
    let file = open.map_err(|error| io_error(path, "its lock cannot be opened", error))?;
    wait_for_lock(path, &file, LOCK_PATIENCE)?;
    Ok(file)
}

pub(super) fn wait_for_lock(path: &Path, file: &File, patience: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => return Err(in_use(path)),
            Err(TryLockError::Error(error)) => return Err(io_error(path, "it cannot be locked", error)),
        }
    }
}

fn in_use(path: &Path) -> Error {
    let message = format!(
        "the store {} is in use by another process, or is already open in this one; a folder serves one process at a time",
        path.display()
    );
    Error::new(ErrorKind::InUse, message)
}

pub(super) fn in_store(path: &Path, error: &Error) -> Error {
    error.within(format!("the store {}", path.display()))
}

fn encode(mark: &Mark) -> [u8; SLOT_BYTES] {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend(if mark.has_journal { FORMATS.end() } else { FORMATS.start() }.to_le_bytes());
    bytes.push(match mark.stage {
        Stage::BeingMade => 1,
        Stage::Open => 2,
        Stage::Closed => 3,
    });
    bytes.push(mark.is_being_written.into());
    bytes.extend(mark.sequence.to_le_bytes());
    bytes.extend(mark.store_id.to_le_bytes());
    bytes.extend(mark.last_commit.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let mut slot = [0; SLOT_BYTES];
    slot[..bytes.len()].copy_from_slice(&bytes);
    slot
}

/// The newer of the two slots that are whole.
fn decode(path: &Path, bytes: &[u8]) -> Result<Mark> {
    let slots = SLOTS.map(|at| bytes.get(at as usize..at as usize + SLOT_BYTES).and_then(decode_slot));
    let newer = slots.into_iter().flatten().max_by_key(|(_, mark)| mark.sequence);
    match newer {
        Some((format, mark)) if FORMATS.contains(&format) => Ok(mark),
        Some((format, _)) => {
            let message = format!(
                "the store {} has format {format}, and this program knows formats up to {} only: it was written by a newer \
                 version of metaparticle",
                path.display(),
                FORMATS.end()
            );
            Err(Error::new(ErrorKind::Incompatible, message))
        }
        None => Err(Error::new(ErrorKind::Corrupt, format!("the store {} is damaged: its mark cannot be read", path.display()))),
    }
}

fn decode_slot(slot: &[u8]) -> Option<(u16, Mark)> {
    let (content, rest) = slot.split_at_checked(CHECKED_BYTES)?;
    if !content.starts_with(MAGIC) || rest.get(..4)? != crc32fast::hash(content).to_le_bytes() {
        return None;
    }
    let number = |at: usize| Some(u64::from_le_bytes(content.get(at..at + 8)?.try_into().ok()?));
    let stage = match content.get(10)? {
        1 => Stage::BeingMade,
        2 => Stage::Open,
        3 => Stage::Closed,
        _ => return None,
    };
    let store_id = u128::from(number(20)?) | u128::from(number(28)?) << 64;
    let format = u16::from_le_bytes([*content.get(8)?, *content.get(9)?]);
    let has_journal = format > *FORMATS.start();
    let is_being_written = *content.get(11)? != 0;
    let (sequence, last_commit) = (number(12)?, number(36)?);
    let mark = Mark { stage, store_id, last_commit, sequence, has_journal, is_being_written };
    (sequence < NUMBERS && last_commit < NUMBERS).then_some((format, mark))
}

/// Has the checksums of a mark fit.
#[cfg(fuzzing)]
pub(super) fn seal(mark: &mut [u8]) {
    for at in SLOTS {
        if let Some(slot) = mark.get_mut(at as usize..at as usize + SLOT_BYTES) {
            let checksum = crc32fast::hash(&slot[..CHECKED_BYTES]);
            slot[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&checksum.to_le_bytes());
        }
    }
}

/// Whose mark it is.
#[cfg(fuzzing)]
pub(super) fn store_id(mark: &[u8]) -> Option<u128> {
    decode(Path::new(""), mark).ok().map(|mark| mark.store_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_mark_that_a_power_cut_has_left_blank_is_written_anew() {
        let store = tempfile::tempdir().expect("a folder");
        for blank in [0, 512 + SLOT_BYTES] {
            fs::write(store.path().join("metaparticle"), vec![0; blank]).expect("writes");
            let folder = Folder::open(store.path(), "sled").expect("opens");
            assert_eq!(folder.mark.stage, Stage::BeingMade);
        }
        fs::create_dir(store.path().join("sled")).expect("makes");
        drop(Folder::open(store.path(), "sled").expect("opens"));
        fs::write(store.path().join("metaparticle"), [0; 512 + SLOT_BYTES]).expect("writes");
        let error = Folder::open(store.path(), "sled").map(drop).expect_err("there was a store");
        assert!(error.is_corrupt() && error.to_string().contains("its mark is empty"), "{error:?}");
    }

    #[test]
    fn a_mark_survives_as_long_as_one_of_its_slots_does() {
        let store = tempfile::tempdir().expect("a folder");
        let path = store.path().join("metaparticle");
        let mut folder = Folder::open(store.path(), "sled").expect("opens");
        for commit in 1..=5 {
            folder.write_mark(Stage::Open, commit).expect("writes");
            let written = fs::read(&path).expect("reads");
            let without = |slot: u64| {
                let mut torn = written.clone();
                torn[slot as usize + 20] ^= 1;
                decode(&path, &torn).map(|mark| mark.last_commit)
            };
            assert_eq!(decode(&path, &written).map(|mark| mark.last_commit).ok(), Some(commit));
            let mut left = SLOTS.map(|slot| without(slot).expect("the other one is whole"));
            left.sort();
            assert_eq!(left, [commit - 1, commit]);
        }
    }

    #[test]
    fn a_mark_of_a_later_format_is_refused_and_left_alone() {
        let store = tempfile::tempdir().expect("a folder");
        let path = store.path().join("metaparticle");
        drop(Folder::open(store.path(), "sled").expect("opens"));
        let mut mark = fs::read(&path).expect("reads");
        let slot = SLOTS.into_iter().map(|at| at as usize).find(|at| mark.get(*at..at + 8) == Some(MAGIC)).expect("a slot");
        mark[slot + 8] = 3;
        let checksum = crc32fast::hash(&mark[slot..slot + CHECKED_BYTES]).to_le_bytes();
        mark[slot + CHECKED_BYTES..slot + CHECKED_BYTES + 4].copy_from_slice(&checksum);
        fs::write(&path, &mark).expect("writes");
        let error = Folder::open(store.path(), "sled").map(drop).expect_err("it is of a later program");
        assert!(error.kind() == ErrorKind::Incompatible && error.to_string().contains("has format 3"), "{error:?}");
        assert!(fs::read(&path).expect("reads") == mark, "it was changed");
    }

    #[test]
    fn a_mark_without_a_next_number_is_damaged() {
        let folder = Folder::open(tempfile::tempdir().expect("a folder").path(), "sled").expect("opens");
        let mark = Mark { sequence: NUMBERS - 1, last_commit: NUMBERS - 1, ..folder.mark };
        assert_eq!(decode(Path::new(""), &encode(&mark)).ok(), Some(mark));
        for mark in [Mark { sequence: NUMBERS, ..mark }, Mark { last_commit: NUMBERS, ..mark }] {
            assert!(decode(Path::new(""), &encode(&mark)).expect_err("there is no next one").is_corrupt());
        }
    }

    #[test]
    fn files_that_were_being_written_are_written_again() {
        let store = tempfile::tempdir().expect("a folder");
        let open = || Folder::open(store.path(), "sled").expect("opens");
        let mut folder = open();
        let (file, content) = (folder.files().join("below/db"), random_bytes(3 << 20 | 5));
        fs::create_dir_all(parent(&file)).expect("a folder");
        fs::write(&file, &content).expect("writes");
        folder.write_mark(Stage::Open, 1).expect("writes");
        assert!(!folder.mark.is_being_written);
        drop(folder);
        let written = || fs::metadata(&file).and_then(|found| found.modified()).expect("a time");
        let first = written();
        // Its opening comes to no end: from here on, there may be a sync that has failed.
        open().write_again().expect("writes");
        assert_eq!(written(), first, "written again without need");
        // Times of files go on in steps.
        while fs::write(file.with_extension("other"), "").is_ok_and(|()| {
            fs::metadata(file.with_extension("other")).and_then(|found| found.modified()).expect("a time") <= first
        }) {}
        let mut folder = open();
        folder.write_again().expect("writes");
        assert!(written() > first, "not written again");
        assert!(fs::read(&file).expect("reads") == content, "it was changed");
        assert!(folder.mark.is_being_written);
        folder.write_mark(Stage::Closed, 1).expect("writes");
        drop(folder);
        let last = written();
        open().write_again().expect("writes");
        assert_eq!(written(), last, "written again after a proper end");
    }

    fn random_bytes(count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| fastrand::u8(..)).take(count).collect()
    }

    #[test]
    fn one_damaged_slot_is_survived_and_two_are_not() {
        let old = Mark {
            stage: Stage::Open,
            store_id: u128::MAX - 9,
            last_commit: 41,
            has_journal: true,
            is_being_written: false,
            sequence: 2,
        };
        let new = Mark { last_commit: 42, is_being_written: true, sequence: 3, ..old };
        let mut bytes = vec![0; 512 + SLOT_BYTES];
        bytes[..SLOT_BYTES].copy_from_slice(&encode(&old));
        bytes[512..].copy_from_slice(&encode(&new));
        let path = Path::new("store");
        assert_eq!(decode(path, &bytes).expect("decodes"), new);
        for bit in 0..CHECKED_BYTES * 8 {
            let mut damaged = bytes.clone();
            damaged[512 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(path, &damaged).expect("decodes"), old, "bit {bit}");
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(path, &damaged).is_err(), "bit {bit} of both");
        }
    }
}
