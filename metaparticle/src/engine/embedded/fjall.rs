//! fjall 3 as the ordered map on disk, with what it takes to survive power cuts and damage.
//!
//! A batch with `PersistMode::SyncData` is appended to fjall's journal, which is then synced with `fdatasync`, before it can
//! be read. Journals and tables that are made later are synced, with their names, before anything depends on them. What fjall
//! leaves out, and is done here: the names of its own folder and of those in `keyspaces/` are synced at opening. And it goes on
//! without files that it has lost, and removes others that belong to them, so these are looked for before it opens. A batch in
//! the middle of which a power cut has left a hole makes it refuse its journal; such a one at the end is put aside.

#[cfg(test)]
pub(super) mod tests;
mod torn;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ::fjall::config::CompressionPolicy;
use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};

use self::torn::{put_torn_batch_aside, sealed_with_two_lengths};
use super::files::io_error;
use super::folder::{Folder, Stage};
use super::folder_map::FolderMap;
use super::guard::{LastHandle, LibraryError, guarded};
use super::library::Library;
use crate::engine::Limits;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};

impl LibraryError for ::fjall::Error {
    const LIBRARY: &'static str = "fjall";

    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Io(error) | Self::Storage(::fjall::LsmError::Io(error)) => match error.kind() {
                // A file that is gone or too short: what that means depends on what was called.
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => None,
                _ => error.raw_os_error().map(|_| ErrorKind::Engine),
            },
            Self::Poisoned => Some(ErrorKind::Engine),
            Self::Locked => Some(ErrorKind::InUse),
            Self::InvalidVersion(Some(_)) => Some(ErrorKind::Incompatible),
            _ => None,
        }
    }
}

/// Everything is in one of fjall's keyspaces.
pub(crate) struct Fjall {
    // Dropped in this order.
    records: Keyspace,
    db: Database,
    _last: LastHandle<Database>,
    path: PathBuf,
}

/// Opens the store in the folder `path`, and makes it if there is none.
pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<FolderMap<Fjall>> {
    let folder = Folder::open(path, "fjall")?;
    folder.write_again()?;
    let open = || open_files(path, &folder.files(), cache_bytes);
    let fjall = if folder.mark().stage == Stage::BeingMade {
        // Nothing was ever stored in files of a first opening that was cut short.
        open().or_else(
            |error| if folder.files().exists() { folder.put_unfinished_aside().and_then(|()| open()) } else { Err(error) },
        )
    } else {
        check_files(path, &folder.files())?;
        open().or_else(|error| if error.is_corrupt() && put_torn_batch_aside(&folder)? { open() } else { Err(error) })
    };
    FolderMap::new(folder, fjall?)
}

fn open_files(path: &Path, files: &Path, cache_bytes: u64) -> Result<Fjall> {
    // Compression is told, because what it is otherwise depends on how other crates have fjall built.
    let builder = Database::builder(files).cache_size(cache_bytes).journal_compression(CompressionType::None);
    let options = || KeyspaceCreateOptions::default().data_block_compression_policy(CompressionPolicy::disabled());
    guarded(path, ErrorKind::Corrupt, "could not open its files", || {
        let db = builder.open()?;
        let records = db.keyspace("records", options)?;
        ::fjall::Result::Ok(Fjall { records, _last: LastHandle::new(db.clone()), db, path: path.to_owned() })
    })
}

/// That everything is there that fjall would make anew, and nothing that it would remove or panic at.
fn check_files(path: &Path, files: &Path) -> Result<()> {
    let damaged = |what: String| {
        let message = format!("the store {} is damaged: {what}; nothing was changed, restore it from a copy", path.display());
        Err(Error::new(ErrorKind::Corrupt, message))
    };
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok());
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    if !names(files).iter().any(|name| name.ends_with(".jnl")) {
        return damaged("its files are empty or gone".to_owned());
    }
    if !files.join("version").exists() {
        return damaged("`fjall/version` is gone".to_owned());
    }
    let keyspaces = names(&files.join("keyspaces"));
    // Number 0 is fjall's own, which knows of the others.
    if keyspaces.len() < 2 || !keyspaces.iter().any(|name| name == "0") {
        return damaged("a folder in `fjall/keyspaces` is gone".to_owned());
    }
    for name in keyspaces {
        if name.parse::<u64>().is_err() {
            return damaged(format!("`fjall/keyspaces/{name}` does not belong there"));
        }
        if !files.join("keyspaces").join(&name).join("current").exists() {
            return damaged(format!("`fjall/keyspaces/{name}/current` is gone"));
        }
    }
    let unequal = sealed_with_two_lengths(files).map_err(|error| io_error(path, "its files cannot be read", error))?;
    unequal.map_or(Ok(()), |journal| damaged(format!("a value in {} has two lengths", journal.display())))
}

impl Library for Fjall {
    /// fjall itself takes keys of 65,535 bytes and values of 4 GiB. But stores move to other engines, which have shorter keys;
    /// 32 records are read into memory at once; and committers may have 4 MiB in memory that are not yet on disk.
    const LIMITS: Limits = Limits { key_bytes: 1 << 10, record_bytes: 1 << 20, commit_bytes: 4 << 20, commit_records: 1 << 12 };

    type Bytes = Slice;
    type Batch = OwnedWriteBatch;

    fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        guarded(&self.path, ErrorKind::Corrupt, "could not read", || self.records.get(key))
    }

    fn range<K: AsRef<[u8]>>(&self, keys: Range<K>) -> impl Iterator<Item = Result<(Slice, Slice)>> {
        let mut entries = self.records.range(keys);
        let mut next = move || entries.next().map(|entry| entry.into_inner()).transpose();
        std::iter::from_fn(move || guarded(&self.path, ErrorKind::Corrupt, "could not read a range", &mut next).transpose())
    }

    fn batch(&self) -> OwnedWriteBatch {
        self.db.batch().durability(Some(if planted(Bug::SkipMapSync) { PersistMode::Buffer } else { PersistMode::SyncData }))
    }

    fn insert(&self, batch: &mut OwnedWriteBatch, key: &[u8], value: &[u8]) {
        batch.insert(&self.records, key, value);
    }

    fn remove(&self, batch: &mut OwnedWriteBatch, key: &[u8]) {
        batch.remove(&self.records, key);
    }

    fn write(&self, batch: OwnedWriteBatch) -> Result<()> {
        guarded(&self.path, ErrorKind::Engine, "could not write", || batch.commit())
    }

    /// A batch is synced when it is carried out, and reading changes nothing.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
