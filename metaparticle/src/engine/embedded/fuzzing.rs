//! Opens a store of hostile bytes over a map in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::entry::{HEADS, Head, STATE_KEY, State, head_key, piece_key, record_key, seal};
use super::folder::{self, Folder};
use super::folder_map::FolderMap;
pub use super::journal::fuzzing::journal;
use super::library::Library;
use super::map::{Group, OrderedMap};
use crate::engine::{KeyRange, Limits, Record, RecordKey, Version};
use crate::error::Result;
use crate::sync::Mutex;

/// The files of a map: keys and values.
pub type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small, so that a record of a few bytes has pieces.
const VALUE_BYTES: usize = 40;

struct InMemory {
    path: PathBuf,
    entries: Mutex<Entries>,
}

impl Library for InMemory {
    const LIMITS: Limits = Limits { key_bytes: 1 << 10, record_bytes: 1 << 16, commit_bytes: 1 << 20, commit_records: 1 << 12 };
    const VALUE_BYTES: usize = VALUE_BYTES;
    const BATCH_CHANGES: usize = 3;

    type Bytes = Vec<u8>;
    type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.entries.lock().get(key).cloned())
    }

    fn range<K: AsRef<[u8]>>(&self, keys: Range<K>) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> {
        let within = |key: &[u8]| keys.start.as_ref() <= key && key < keys.end.as_ref();
        let entries = self.entries.lock();
        let found: Vec<_> = entries.iter().filter(|(key, _)| within(key)).map(|(k, v)| Ok((k.clone(), v.clone()))).collect();
        found.into_iter()
    }

    fn batch(&self) -> Self::Batch {
        Vec::new()
    }

    fn insert(&self, batch: &mut Self::Batch, key: &[u8], value: &[u8]) {
        batch.push((key.to_vec(), Some(value.to_vec())));
    }

    fn remove(&self, batch: &mut Self::Batch, key: &[u8]) {
        batch.push((key.to_vec(), None));
    }

    fn write(&self, batch: Self::Batch) -> Result<()> {
        let mut entries = self.entries.lock();
        for (key, value) in batch {
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Opens a store whose mark and map have these bytes, in a folder that has a journal; reads everything, and changes everything that
/// can be read. Gives the number of records that were read.
pub fn store(path: &Path, mark: &[u8], entries: Entries, sealed: bool) -> Result<usize> {
    let (mark, entries) = if sealed { seal_all(mark.to_vec(), entries) } else { (mark.to_vec(), entries) };
    std::fs::write(path.join("metaparticle"), mark).expect("the folder can be written to");
    let library = InMemory { path: path.to_owned(), entries: Mutex::new(entries) };
    let map = FolderMap::new(Folder::open(path, "sled")?, library)?;
    let everything = KeyRange { start: RecordKey::new([]), end: RecordKey::new([0xff; 64]) };
    let keys = map.range(&everything, usize::MAX, &|_| false)?;
    let mut changes = Vec::new();
    for (key, _) in keys {
        if let Some(record) = map.get(&key).ok().flatten() {
            let bytes = [&*record.bytes, &[7; VALUE_BYTES]].concat();
            changes.push((key, Some(Record { version: Version::new(record.version.number() ^ 1), bytes: bytes.into() })));
        }
    }
    let read = changes.len();
    let group = Group { changes, last_commit: map.last_commit() + 1 };
    map.apply(&group)?;
    for (key, record) in &group.changes {
        let found = map.get(key).expect("what was written can be read").expect("it is there");
        let written = record.as_ref().expect("nothing was removed");
        assert!(found.bytes == written.bytes && found.version == written.version, "{key:?} is not what was written");
    }
    Ok(read)
}

/// Has all checksums and totals fit, as somebody who knows them would.
fn seal_all(mut mark: Vec<u8>, mut entries: Entries) -> (Vec<u8>, Entries) {
    folder::seal(&mut mark);
    let heads: Vec<Vec<u8>> = entries.range(HEADS.start.to_vec()..HEADS.end.to_vec()).map(|(key, _)| key.clone()).collect();
    let Some(mut state) = entries.get(STATE_KEY).cloned().and_then(|mut bytes| State::sealed(&mut bytes)) else {
        return (mark, entries);
    };
    (state.records, state.digest) = (0, 0);
    for head in heads {
        let key = record_key(&head);
        let mut value = entries.get(&head_key(key)).cloned().unwrap_or_default();
        seal(key, &mut value, |index| entries.get(&piece_key(key, index)).cloned());
        if let Ok(head) = Head::parse(key, &value) {
            state.add(key, &head);
        }
        entries.insert(head.clone(), value);
    }
    if let Some(id) = folder::store_id(&mark) {
        state.store_id = id;
    }
    entries.insert(STATE_KEY.to_vec(), state.encode());
    (mark, entries)
}
