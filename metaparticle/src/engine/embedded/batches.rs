//! Changes of records, in batches that a library can take.

use super::entry::{Head, STATE_KEY, State, head_key, piece_key, split};
use super::folder::in_store;
use super::library::Library;
use crate::engine::{Record, RecordKey};
use crate::error::Result;

/// Batches that are carried out one after the other, each with the state of what is there then. Records may be halfway between two states
/// of them in between, and are whole at the end.
pub(super) struct Batches<'a, L: Library> {
    library: &'a L,
    state: State,
    batch: L::Batch,
    changes: usize,
    bytes: usize,
}

impl<'a, L: Library> Batches<'a, L> {
    /// Where the library has this state.
    pub(super) fn new(library: &'a L, state: State) -> Self {
        Self { library, state, batch: library.batch(), changes: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, key: &RecordKey, record: Option<&Record>) -> Result<()> {
        let old = self.library.get(&head_key(key))?;
        let old = old.as_ref().map(AsRef::as_ref);
        let old_pieces = self.parse(key, old)?.map_or(0, |old| old.pieces);
        let new = record.map(|record| split(key, record.version.number() as u64, &record.bytes, L::VALUE_BYTES));
        let (new, pieces) = new.unzip();
        let (new, pieces) = (new.as_deref(), pieces.unwrap_or_default());
        let count = pieces.len() as u16;
        // The head that counts more pieces is there while these are changed. After a crash, all are found when that is done again.
        let is_first = new.is_some() && count >= old_pieces;
        if is_first {
            self.change_head(key, old, new)?;
        }
        for (index, piece) in (0..).zip(pieces) {
            self.make_room(key, piece.len())?;
            self.library.insert(&mut self.batch, &piece_key(key, index), piece);
        }
        for index in count..old_pieces {
            self.make_room(key, L::VALUE_BYTES)?;
            self.library.remove(&mut self.batch, &piece_key(key, index));
        }
        if is_first { Ok(()) } else { self.change_head(key, old, new) }
    }

    /// Carries out the last one, and returns when all of them survive a power cut.
    pub(super) fn end(mut self, last_commit: u64) -> Result<State> {
        self.state.last_commit = last_commit;
        self.write()?;
        self.library.sync()?;
        Ok(self.state)
    }

    fn parse<'b>(&self, key: &[u8], head: Option<&'b [u8]>) -> Result<Option<Head<'b>>> {
        let parsed = head.map(|head| Head::parse(key, head)).transpose();
        parsed.map_err(|error| in_store(self.library.path(), &error))
    }

    fn change_head(&mut self, key: &RecordKey, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        let bytes = |head: Option<&[u8]>| head.map_or(0, <[u8]>::len);
        self.make_room(key, bytes(old).max(bytes(new)))?;
        if let Some(old) = self.parse(key, old)? {
            self.state.remove(key, &old);
        }
        match new {
            None => self.library.remove(&mut self.batch, &head_key(key)),
            Some(value) => {
                self.state.add(key, &Head::parse(key, value)?);
                self.library.insert(&mut self.batch, &head_key(key), value);
            }
        }
        Ok(())
    }

    /// For a change of a value of so many bytes at most.
    fn make_room(&mut self, key: &[u8], bytes: usize) -> Result<()> {
        let bytes = bytes.saturating_add(key.len());
        let is_full = self.changes >= L::BATCH_CHANGES || self.bytes.saturating_add(bytes) > L::BATCH_BYTES;
        if is_full && self.changes > 0 {
            self.write()?;
        }
        self.changes += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        (self.changes, self.bytes) = (0, 0);
        let mut batch = std::mem::replace(&mut self.batch, self.library.batch());
        self.library.insert(&mut batch, STATE_KEY, &self.state.encode());
        self.library.write(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::super::folder::Folder;
    use super::super::folder_map::FolderMap;
    use super::super::folder_tests::{bytes, folder, get};
    use super::super::map::{Group, OrderedMap};
    use super::*;
    use crate::engine::{KeyRange, Limits, Version};
    use crate::error::{Error, ErrorKind};
    use crate::sync::{AtomicBool, Mutex, Ordering};

    type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

    /// A library that takes little at once, fails at some batch, and writes when a range is read.
    #[derive(Clone, Default)]
    struct Failing {
        path: PathBuf,
        entries: Arc<Mutex<Entries>>,
        batches: Arc<Mutex<Option<usize>>>,
        has_read: Arc<AtomicBool>,
    }

    impl Library for Failing {
        const LIMITS: Limits = Limits::NONE;
        const VALUE_BYTES: usize = 40;
        const BATCH_CHANGES: usize = 3;
        const BATCH_BYTES: usize = 90;

        type Bytes = Vec<u8>;
        type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

        fn path(&self) -> &Path {
            &self.path
        }

        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
            Ok(self.entries.lock().get(key).cloned())
        }

        fn range<K: AsRef<[u8]>>(&self, keys: Range<K>) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> {
            self.has_read.store(true, Ordering::Relaxed);
            let entries = self.entries.lock();
            let found = entries.range(keys.start.as_ref().to_vec()..keys.end.as_ref().to_vec());
            found.map(|(key, value)| Ok((key.clone(), value.clone()))).collect::<Vec<_>>().into_iter()
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
            assert!(!self.has_read.load(Ordering::Relaxed), "what reading has written is not synced");
            let changes = batch.iter().filter(|(key, _)| key != STATE_KEY);
            let sizes: Vec<usize> = changes.map(|(_, value)| value.as_ref().map_or(0, Vec::len)).collect();
            assert!(sizes.len() <= Self::BATCH_CHANGES, "too many changes: {sizes:?}");
            assert!(sizes.len() <= 1 || sizes.iter().sum::<usize>() <= Self::BATCH_BYTES, "too large: {sizes:?}");
            if let Some(batches) = &mut *self.batches.lock() {
                *batches = batches.checked_sub(1).ok_or_else(|| Error::new(ErrorKind::Engine, "cut"))?;
            }
            for (key, value) in batch {
                match value {
                    Some(value) => drop(self.entries.lock().insert(key, value)),
                    None => drop(self.entries.lock().remove(&key)),
                }
            }
            Ok(())
        }

        fn sync(&self) -> Result<()> {
            self.has_read.store(false, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn what_reading_has_written_is_synced_before_anything_else_is_written() {
        let folder = folder();
        let library = Failing::default();
        let open = || {
            FolderMap::new(Folder::open(&folder.path().join("store"), "sled").expect("opens"), library.clone()).expect("opens")
        };
        open().apply(&change(1, None)).expect("applies");
        let map = open();
        let range = KeyRange { start: RecordKey::new([]), end: RecordKey::new([0xff]) };
        let read = || map.range(&range, 10, &|_| true).expect("reads").len();
        assert_eq!(read(), 1);
        map.apply(&change(2, Some(10))).expect("applies");
        assert_eq!(read(), 2);
        drop(map);
        assert!(!library.has_read.load(Ordering::Relaxed), "it is closed, and not synced");
    }

    /// A commit that makes a record have so many bytes, or removes it; and changes another one.
    fn change(commit: u64, length: Option<usize>) -> Group {
        let record = |length| Record { version: Version::new(commit.into()), bytes: bytes(commit, length).into() };
        let changes = vec![(RecordKey::new(*b"a"), length.map(record)), (RecordKey::new(*b"b"), Some(record(7)))];
        Group { changes, last_commit: commit }
    }

    #[test]
    fn a_change_that_is_cut_short_anywhere_leaves_nothing_once_it_is_made_again() {
        let folder = folder();
        let path = folder.path().join("store");
        let library = Failing::default();
        let open = || FolderMap::new(Folder::open(&path, "sled").expect("opens"), library.clone()).expect("opens");
        drop(open());
        let (mark, empty) = (std::fs::read(path.join("metaparticle")).expect("reads"), library.entries.lock().clone());
        let lengths = [None, Some(200), Some(400)];
        let cases = lengths.iter().flat_map(|old| lengths.iter().map(move |cut| (*old, *cut)));
        for ((old, cut), new) in cases.flat_map(|case| lengths.iter().map(move |new| (case, *new))) {
            for batches in 0.. {
                std::fs::write(path.join("metaparticle"), &mark).expect("writes");
                *library.entries.lock() = empty.clone();
                let map = open();
                map.apply(&change(1, old)).expect("applies");
                *library.batches.lock() = Some(batches);
                let is_whole = map.apply(&change(2, cut)).is_ok();
                drop(map);
                *library.batches.lock() = None;
                let map = open();
                assert_eq!(map.last_commit(), if is_whole { 2 } else { 1 });
                map.apply(&change(3, new)).expect("applies");
                assert_eq!(get(&map, b"a"), new.map(|length| bytes(3, length)));
                let pieces = new.map_or(0, |length| split(b"a", 3, &bytes(3, length), Failing::VALUE_BYTES).1.len());
                let expected = 2 + new.map_or(0, |_| 1) + pieces;
                assert_eq!(library.entries.lock().len(), expected, "{old:?}, {cut:?} after {batches} batches, {new:?}");
                if is_whole {
                    break;
                }
            }
        }
    }
}
