//! sled 0.34 as the ordered map on disk, with what it takes to survive power cuts and to notice damage.
//!
//! What sled does not do by itself, and is done here: `flush` does not sync the file, so it is synced through a handle of our
//! own; directory entries are synced; values are kept small, because large ones go to files that are never synced; a panic on
//! damaged files becomes an error; and a store that has lost something is recognised by a mark outside of sled, by a commit
//! number and a digest inside, and by a checksum on every record.

mod entry;
#[cfg(test)]
mod faults;
mod folder;
mod guard;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};

use self::entry::{HEADS, Head, STATE_KEY, State, head_key, piece_key, record_key, split};
use self::folder::{Folder, Stage};
use self::guard::{LastHandle, guarded};
use super::files::io_error;
use super::journal::Journal;
use super::map::{Found, Group, OrderedMap};
use crate::engine::{KeyRange, Limits, Record, RecordKey};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Mutex;

/// Keys and values that sled keeps safe, and groups that fit well into one of its segments of 512 KiB.
const LIMITS: Limits = Limits { key_bytes: 1 << 10, record_bytes: 128 << 10, commit_bytes: 256 << 10, commit_records: 1 << 12 };
/// Up to so many records, a store is read through at every opening. Above, only after an opening that was not ended properly.
const ALWAYS_VERIFIED: u64 = 200_000;

/// Records in a folder.
pub(crate) struct SledMap {
    // Dropped in this order: sled's handles, then ours on its file, then the folder's lock.
    tree: ::sled::Tree,
    db: ::sled::Db,
    _last: LastHandle,
    file: File,
    path: PathBuf,
    writer: Mutex<Writer>,
    last_commit: u64,
}

/// What only the flusher changes.
struct Writer {
    folder: Folder,
    state: State,
    failed: Option<Error>,
}

impl SledMap {
    /// Opens the store in the folder `path`, and makes it if there is none.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self> {
        let folder = Folder::open(path)?;
        folder.remove_unfinished_snapshots()?;
        folder.wait_for_sled_lock()?;
        let opened = open_sled(path, &folder, cache_bytes)?;
        let last = LastHandle::new(opened.clone());
        let db = opened;
        let tree: ::sled::Tree = (*db).clone();
        let file = File::open(folder.sled_path().join("db")).map_err(|error| io_error(path, "its file is missing", error))?;
        let state = Self::recover_state(path, &tree, &folder)?;
        // Before the store counts as made: from then on, a journal that is missing is a loss.
        if folder.mark().stage == Stage::BeingMade {
            Journal::make(&folder.journal_path(), state.store_id)?;
        }
        let last_commit = state.last_commit;
        let writer = Mutex::new(Writer { folder, state, failed: None });
        let map = Self { tree, db, _last: last, file, path: path.to_owned(), writer, last_commit };
        // An opening that has failed is not ended properly, and that of a new store has not made one.
        map.finish_opening(state).inspect_err(|error| map.writer.lock().failed = Some(error.clone()))?;
        Ok(map)
    }

    /// Where the journal in front of it is.
    pub(super) fn journal_path(&self) -> PathBuf {
        self.writer.lock().folder.journal_path()
    }

    /// Whose files these are.
    pub(super) fn store_id(&self) -> u128 {
        self.writer.lock().state.store_id
    }

    /// What sled has, if it fits to the mark.
    fn recover_state(path: &Path, tree: &::sled::Tree, folder: &Folder) -> Result<State> {
        let mark = folder.mark();
        let damaged = |what: String| {
            let message = format!("the store {} is damaged: {what}; nothing was changed, restore it from a copy", path.display());
            Error::new(ErrorKind::Corrupt, message)
        };
        let state = guarded(path, ErrorKind::Corrupt, "could not read its state", || tree.get(STATE_KEY))?;
        let Some(state) = state else {
            if mark.stage == Stage::BeingMade {
                return Ok(State { store_id: mark.store_id, last_commit: 0, records: 0, digest: 0 });
            }
            return Err(damaged(format!("its files are empty or gone, and it had {} commits", mark.last_commit)));
        };
        let state = State::decode(&state).map_err(|error| in_store(path, &error))?;
        if state.store_id != mark.store_id {
            return Err(damaged("its files are those of another store".to_owned()));
        }
        if state.last_commit < mark.last_commit {
            let (last, marked) = (state.last_commit, mark.last_commit);
            return Err(damaged(format!("its last commit is number {last}, and it had {marked}")));
        }
        if state.records <= ALWAYS_VERIFIED || mark.stage != Stage::Closed {
            let (records, digest) = totals(path, tree)?;
            if records != state.records {
                return Err(damaged(format!("it has {records} records, and had {}", state.records)));
            }
            if digest != state.digest {
                // A record that does not fit to its own checksum explains it, and says so to whoever reads it.
                if !has_damaged(path, tree)? {
                    return Err(damaged("records are not those that it had".to_owned()));
                }
                return Ok(State { digest, ..state });
            }
        }
        Ok(state)
    }

    /// Makes sure that the store is there after a power cut, before anything is stored in it.
    fn finish_opening(&self, state: State) -> Result<()> {
        guarded(&self.path, ErrorKind::Engine, "could not write its state", || self.tree.insert(STATE_KEY, state.encode()))?;
        self.sync()?;
        let mut writer = self.writer.lock();
        writer.folder.sync_names()?;
        writer.folder.write_mark(Stage::Open, state.last_commit)?;
        writer.folder.sync_mark()
    }

    /// sled's `flush` hands its buffers to the system, but does not sync the file.
    fn sync(&self) -> Result<()> {
        guarded(&self.path, ErrorKind::Engine, "could not write to disk", || self.db.flush())?;
        self.file.sync_data().map_err(|error| io_error(&self.path, "its file cannot be synced", error))
    }

    fn join(&self, key: &[u8], value: &[u8]) -> Result<Record> {
        join(&self.path, &self.tree, key, value)
    }

    /// Adds a change to the batch, and to the state.
    fn add(&self, batch: &mut ::sled::Batch, state: &mut State, key: &RecordKey, record: Option<&Record>) -> Result<()> {
        let head = head_key(key);
        let old = guarded(&self.path, ErrorKind::Engine, "could not read a record to replace", || self.tree.get(&head))?;
        let mut old_pieces = 0;
        if let Some(value) = &old {
            let old = Head::parse(key, value).map_err(|error| in_store(&self.path, &error))?;
            old_pieces = old.pieces;
            state.records = state.records.wrapping_sub(1);
            state.digest = state.digest.wrapping_sub(old.digest(key));
        }
        let mut pieces = 0;
        match record {
            None => batch.remove(head),
            Some(record) => {
                let (value, rest) = split(key, record.version.number() as u64, &record.bytes);
                state.records = state.records.wrapping_add(1);
                state.digest = state.digest.wrapping_add(Head::parse(key, &value)?.digest(key));
                batch.insert(head, value);
                for piece in rest {
                    batch.insert(piece_key(key, pieces), piece);
                    pieces += 1;
                }
            }
        }
        (pieces..old_pieces).for_each(|index| batch.remove(piece_key(key, index)));
        Ok(())
    }

    fn write(&self, writer: &mut Writer, group: &Group) -> Result<()> {
        let mut state = State { last_commit: group.last_commit, ..writer.state };
        let mut batch = ::sled::Batch::default();
        for (key, record) in &group.changes {
            self.add(&mut batch, &mut state, key, record.as_ref())?;
        }
        batch.insert(STATE_KEY, state.encode());
        guarded(&self.path, ErrorKind::Engine, "could not write", || self.tree.apply_batch(batch))?;
        self.sync()?;
        writer.state = state;
        writer.folder.write_mark(Stage::Open, group.last_commit)
    }
}

fn open_sled(path: &Path, folder: &Folder, cache_bytes: u64) -> Result<::sled::Db> {
    let open = || {
        let config = ::sled::Config::new().path(folder.sled_path()).cache_capacity(cache_bytes);
        // Its background thread only logs errors of syncing; we sync ourselves.
        guarded(path, ErrorKind::Corrupt, "could not open its files", || config.flush_every_ms(None).open())
    };
    open().or_else(|error| {
        if !error.is_corrupt() {
            return Err(error);
        }
        // A snapshot only makes opening faster, so a damaged one is no loss; nor are files that nothing was ever stored in.
        let mended = match folder.mark().stage {
            Stage::BeingMade => folder.put_unfinished_sled_aside()?,
            Stage::Open | Stage::Closed => folder.put_snapshots_aside()?,
        };
        if mended { open() } else { Err(error) }
    })
}

fn in_store(path: &Path, error: &Error) -> Error {
    error.within(format!("the store {}", path.display()))
}

/// The number of records and their digest, by reading all of them.
fn totals(path: &Path, tree: &::sled::Tree) -> Result<(u64, u64)> {
    let (mut records, mut digest) = (0, 0u64);
    let mut heads = tree.range(HEADS);
    while let Some(entry) = guarded(path, ErrorKind::Corrupt, "could not read its records", || heads.next().transpose())? {
        let key = record_key(&entry.0).unwrap_or_default();
        records += 1;
        let head = Head::parse(key, &entry.1).map_err(|error| in_store(path, &error))?;
        digest = digest.wrapping_add(head.digest(key));
    }
    Ok((records, digest))
}

/// Whether a record does not fit to its checksum.
fn has_damaged(path: &Path, tree: &::sled::Tree) -> Result<bool> {
    let mut heads = tree.range(HEADS);
    while let Some(entry) = guarded(path, ErrorKind::Corrupt, "could not read its records", || heads.next().transpose())? {
        let joined = join(path, tree, record_key(&entry.0).unwrap_or_default(), &entry.1);
        match joined {
            Err(error) if error.is_corrupt() => return Ok(true),
            joined => drop(joined?),
        }
    }
    Ok(false)
}

fn join(path: &Path, tree: &::sled::Tree, key: &[u8], value: &[u8]) -> Result<Record> {
    let piece = |index| guarded(path, ErrorKind::Corrupt, "could not read a record", || tree.get(piece_key(key, index)));
    Head::parse(key, value).and_then(|head| head.join(key, piece)).map_err(|error| in_store(path, &error))
}

impl OrderedMap for SledMap {
    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        let value = guarded(&self.path, ErrorKind::Corrupt, "could not read a record", || self.tree.get(head_key(key)))?;
        value.map(|value| self.join(key, &value)).transpose()
    }

    fn range(&self, range: &KeyRange, limit: usize, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Found>> {
        let mut heads = self.tree.range(head_key(&range.start)..head_key(&range.end));
        let mut found = Vec::new();
        while found.len() < limit {
            let next = guarded(&self.path, ErrorKind::Corrupt, "could not read a range of records", || heads.next().transpose())?;
            let Some((head, value)) = next else { break };
            let key = record_key(&head).unwrap_or_default();
            let record = if wanted(key) { Some(self.join(key, &value)?) } else { None };
            found.push((RecordKey::new(key), record));
        }
        Ok(found)
    }

    fn apply(&self, group: &Group) -> Result<()> {
        let writer = &mut *self.writer.lock();
        if let Some(error) = &writer.failed {
            return Err(error.clone());
        }
        self.write(writer, group).inspect_err(|error| writer.failed = Some(error.clone()))
    }

    fn last_commit(&self) -> u64 {
        self.last_commit
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

impl Drop for SledMap {
    /// Everything is on disk already, but for the mark, which says how far it has come.
    fn drop(&mut self) {
        let writer = &mut *self.writer.lock();
        if writer.failed.is_none() && writer.folder.write_mark(Stage::Closed, writer.state.last_commit).is_ok() {
            // If it is not synced, the next opening reads the store through. No more than that.
            let _ = writer.folder.sync_mark();
        }
    }
}
