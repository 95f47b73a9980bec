//! sled 0.34 as the ordered map on disk, with what it takes to survive power cuts and to notice damage.
//!
//! What sled does not do by itself, and is done here: `flush` does not sync the file, so it is synced through a handle of our
//! own; directory entries are synced; values are kept small, because large ones go to files that are never synced; a panic on
//! damaged files becomes an error; and what sled needs no more, and cannot open, is put aside.

mod files;
mod prompter;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use self::files::{finish_snapshots, put_snapshots_aside, wait_for_sled_lock};
use self::prompter::Prompter;
use super::files::io_error;
use super::folder::{Folder, Stage};
use super::folder_map::FolderMap;
use super::guard::{LastHandle, LibraryError, guarded};
use super::library::Library;
use crate::engine::Limits;
use crate::error::{ErrorKind, Result};
use crate::planted::{Bug, planted};

impl LibraryError for ::sled::Error {
    const LIBRARY: &'static str = "sled";

    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Corruption { .. } => Some(ErrorKind::Corrupt),
            // The system's word, such as a full disk; or a clone of it, which has it as a text only. Other I/O errors are sled's way to say
            // that a file is too short.
            Self::Io(error) if error.raw_os_error().is_some() || error.to_string().contains("Os {") => Some(ErrorKind::Engine),
            _ => None,
        }
    }
}

/// What is written is synced when it is so much. Of sled's segments of 512 KiB, no two may be begun and not synced: where the power is cut and
/// the start of the second is on disk, and that of the first is not, sled takes all of its log for torn. A batch comes on top.
const UNSYNCED_BYTES: usize = 64 << 10;

/// sled panics at less than 256 bytes, which would be taken for damage; and with so little, it keeps nothing at all.
const LEAST_CACHE_BYTES: u64 = 1 << 20;

/// Everything is in one tree.
pub(crate) struct Sled {
    // Dropped in this order: sled's handles, of which this one has one, then ours on its file.
    prompter: Prompter,
    tree: ::sled::Tree,
    _last: LastHandle<::sled::Db>,
    file: File,
    path: PathBuf,
    /// About how many bytes have been written since the last sync.
    unsynced: AtomicUsize,
    #[cfg(test)]
    begun: tests::Begun,
}

/// Changes, and what they change.
#[derive(Default)]
pub(crate) struct Batch {
    batch: ::sled::Batch,
    keys: Vec<Box<[u8]>>,
}

/// Opens the store in the folder `path`, and makes it if there is none.
pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<FolderMap<Sled>> {
    let folder = Folder::open(path, "sled")?;
    wait_for_sled_lock(path, &folder)?;
    finish_snapshots(&folder)?;
    folder.write_again()?;
    let opened = open_files(path, &folder, cache_bytes)?;
    let opened_tree: ::sled::Tree = (*opened).clone();
    let last = LastHandle::new(opened);
    // From here on, this one is dropped first.
    let tree = opened_tree;
    let file = File::open(folder.files().join("db")).map_err(|error| io_error(path, "its file is missing", error))?;
    let prompter = {
        let (tree, path) = (tree.clone(), path.to_owned());
        // Whoever it asks for hears of the error as well.
        Prompter::start(move || drop(flush(&tree, &path)))
    }
    .map_err(|error| io_error(path, "the thread that asks it again cannot be started", error))?;
    let sled = Sled {
        prompter,
        tree,
        _last: last,
        file,
        path: path.to_owned(),
        unsynced: AtomicUsize::new(0),
        #[cfg(test)]
        begun: tests::Begun::default(),
    };
    FolderMap::new(folder, sled)
}

fn open_files(path: &Path, folder: &Folder, cache_bytes: u64) -> Result<::sled::Db> {
    let open = || {
        let config = ::sled::Config::new().path(folder.files()).cache_capacity(cache_bytes.max(LEAST_CACHE_BYTES));
        // Its background thread only logs errors of syncing; we sync ourselves.
        guarded(path, ErrorKind::Corrupt, "could not open its files", || config.flush_every_ms(None).open())
    };
    open().or_else(|error| {
        if !error.is_corrupt() {
            return Err(error);
        }
        // A snapshot only makes opening faster, so a damaged one is no loss; nor are files that nothing was ever stored in.
        let mended = match folder.mark().stage {
            Stage::BeingMade => folder.put_unfinished_aside().map(|()| true)?,
            Stage::Open | Stage::Closed => put_snapshots_aside(folder)?,
        };
        if mended { open() } else { Err(error) }
    })
}

/// Hands the buffers of sled's store at `path` to the system; how many bytes these had.
fn flush(tree: &::sled::Tree, path: &Path) -> Result<usize> {
    guarded(path, ErrorKind::Engine, "could not write to disk", || tree.flush())
}

impl Sled {
    fn flush(&self) -> Result<usize> {
        self.prompter.wait(|| flush(&self.tree, &self.path))
    }
}

impl Library for Sled {
    /// Keys and values that sled keeps safe; all changes of a transaction are in the journal at once.
    const LIMITS: Limits = Limits { key_bytes: 1 << 10, record_bytes: 128 << 10, commit_bytes: 4 << 20, commit_records: 1 << 12 };
    /// sled keeps nodes that grow too large in files that it never syncs.
    const VALUE_BYTES: usize = 4_000;
    /// sled writes a whole leaf of up to 17 values for a tenth of its changes, and where it splits or merges leaves, and may move another
    /// one each time.
    const BATCH_CHANGES: usize = 8;
    const BATCH_BYTES: usize = 15 << 10;

    type Bytes = ::sled::IVec;
    type Batch = Batch;

    fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, key: &[u8]) -> Result<Option<::sled::IVec>> {
        guarded(&self.path, ErrorKind::Corrupt, "could not read", || self.tree.get(key))
    }

    fn range<K: AsRef<[u8]>>(&self, keys: Range<K>) -> impl Iterator<Item = Result<(::sled::IVec, ::sled::IVec)>> {
        let mut entries = self.tree.range(keys);
        let mut next = move || entries.next().transpose();
        std::iter::from_fn(move || guarded(&self.path, ErrorKind::Corrupt, "could not read a range", &mut next).transpose())
    }

    fn batch(&self) -> Batch {
        Batch::default()
    }

    fn insert(&self, batch: &mut Batch, key: &[u8], value: &[u8]) {
        batch.keys.push(key.into());
        batch.batch.insert(key, value);
    }

    fn remove(&self, batch: &mut Batch, key: &[u8]) {
        batch.keys.push(key.into());
        batch.batch.remove(key);
    }

    fn write(&self, batch: Batch) -> Result<()> {
        guarded(&self.path, ErrorKind::Engine, "could not write", || self.tree.apply_batch(batch.batch))?;
        // sled splits and merges leaves not when they are changed, but when they are come to after that, even by who reads.
        for key in &batch.keys {
            self.get(key)?;
        }
        let flushed = self.flush()?;
        let unsynced = self.unsynced.fetch_add(flushed, Ordering::Relaxed) + flushed;
        if unsynced >= UNSYNCED_BYTES { self.sync() } else { Ok(()) }
    }

    /// sled's `flush` hands its buffers to the system, but does not sync the file.
    fn sync(&self) -> Result<()> {
        self.flush()?;
        #[cfg(test)]
        self.begun.note(&self.path);
        if planted(Bug::SkipMapSync) {
            return Ok(());
        }
        self.unsynced.store(0, Ordering::Relaxed);
        self.file.sync_data().map_err(|error| io_error(&self.path, "its file cannot be synced", error))
    }
}
