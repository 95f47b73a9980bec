//! An ordered map in a folder, of a library's making, and what it takes to notice that it has lost something.

use std::path::PathBuf;

use super::batches::Batches;
use super::entry::{State, head_key, record_key};
use super::folder::{Folder, Stage};
use super::journal::Journal;
use super::library::Library;
use super::map::{Found, Group, OrderedMap};
use super::recovery::recover;
use crate::engine::{KeyRange, Limits, Record, RecordKey};
use crate::error::{Error, Result};
use crate::planted::{Bug, planted};
use crate::sync::Mutex;

/// Records in a folder.
pub(crate) struct FolderMap<L: Library> {
    // Dropped in this order: the library, then the folder's lock.
    pub(super) library: L,
    writer: Mutex<Writer>,
    last_commit: u64,
}

/// What only the flusher changes.
struct Writer {
    folder: Folder,
    state: State,
    failed: Option<Error>,
}

impl<L: Library> FolderMap<L> {
    /// What `library` has in `folder`.
    pub(super) fn new(folder: Folder, library: L) -> Result<Self> {
        let state = State::new(folder.mark().store_id);
        let writer = Mutex::new(Writer { folder, state, failed: None });
        let mut map = Self { library, writer, last_commit: 0 };
        // An opening that has failed is not ended properly, and that of a new store has not made one.
        map.last_commit = map.finish_opening().inspect_err(|error| map.writer.lock().failed = Some(error.clone()))?;
        Ok(map)
    }

    /// Where the journal in front of it is.
    pub(super) fn journal(&self) -> PathBuf {
        self.writer.lock().folder.journal()
    }

    /// Whose files these are.
    pub(super) fn store_id(&self) -> u128 {
        self.writer.lock().state.store_id
    }

    /// Makes sure that the store is what it was, and there after a power cut, before anything is stored in it.
    fn finish_opening(&self) -> Result<u64> {
        let writer = &mut *self.writer.lock();
        writer.state = recover(&self.library, writer.folder.mark())?;
        // Before the mark says that there is one: from then on, a journal that is missing is a loss.
        if writer.folder.mark().stage == Stage::BeingMade || !writer.folder.mark().has_journal {
            if planted(Bug::MarkBeforeJournal) {
                writer.folder.write_mark(Stage::Open, writer.state.last_commit)?;
            }
            Journal::make(&writer.folder.journal(), writer.state.store_id)?;
        }
        // What reading has written, too.
        self.library.sync()?;
        Batches::new(&self.library, writer.state).end(writer.state.last_commit)?;
        writer.folder.sync_names()?;
        writer.folder.write_mark(Stage::Open, writer.state.last_commit)?;
        writer.folder.sync_mark()?;
        Ok(writer.state.last_commit)
    }

    fn write(&self, writer: &mut Writer, group: &Group) -> Result<()> {
        writer.folder.begin_writing()?;
        self.library.sync()?;
        let mut state = writer.state;
        if planted(Bug::CountPartAsWhole) {
            state.last_commit = group.last_commit;
        }
        let mut batches = Batches::new(&self.library, state);
        for (key, record) in &group.changes {
            batches.add(key, record.as_ref())?;
        }
        writer.state = batches.end(group.last_commit)?;
        writer.folder.write_mark(Stage::Open, group.last_commit)
    }

    fn close(&self, writer: &mut Writer) -> Result<()> {
        writer.folder.begin_writing()?;
        self.library.sync()?;
        writer.folder.write_mark(Stage::Closed, writer.state.last_commit)
    }
}

impl<L: Library> OrderedMap for FolderMap<L> {
    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        let head = self.library.get(&head_key(key))?;
        head.map(|head| self.library.join(key, head.as_ref())).transpose()
    }

    fn range(&self, range: &KeyRange, limit: usize, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Found>> {
        let heads = self.library.range(head_key(&range.start)..head_key(&range.end));
        let found = heads.take(limit).map(|entry| {
            let (key, head) = entry?;
            let key = record_key(key.as_ref());
            let record = if wanted(key) { Some(self.library.join(key, head.as_ref())?) } else { None };
            Ok((RecordKey::new(key), record))
        });
        found.collect()
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
        L::LIMITS
    }
}

impl<L: Library> Drop for FolderMap<L> {
    /// What was stored is on disk already; not so what reading may have changed, nor the mark, which says how far it has come.
    fn drop(&mut self) {
        let writer = &mut *self.writer.lock();
        if writer.failed.is_none() && self.close(writer).is_ok() {
            // If it is not synced, the next opening reads the store through. No more than that.
            let _ = writer.folder.sync_mark();
        }
    }
}
