//! What a library has to do to keep records in a folder.

use std::ops::Range;
use std::path::Path;

use super::entry::{Head, piece_key};
use super::folder::in_store;
use crate::engine::{Limits, Record};
use crate::error::Result;

pub(crate) trait Library: Send + Sync + 'static {
    const LIMITS: Limits;
    /// Larger values must not be given to it.
    const VALUE_BYTES: usize = usize::MAX;
    /// A batch with so many changes is carried out before there is another one.
    const BATCH_CHANGES: usize = usize::MAX;
    /// So many bytes are in the values that a batch writes and takes the place of, if that is more than one.
    const BATCH_BYTES: usize = usize::MAX;

    type Bytes: AsRef<[u8]>;
    type Batch;

    /// The store's folder.
    fn path(&self) -> &Path;

    fn get(&self, key: &[u8]) -> Result<Option<Self::Bytes>>;

    /// Keys and values in order. Not asked for more after an error.
    fn range<K: AsRef<[u8]>>(&self, keys: Range<K>) -> impl Iterator<Item = Result<(Self::Bytes, Self::Bytes)>>;

    fn batch(&self) -> Self::Batch;

    fn insert(&self, batch: &mut Self::Batch, key: &[u8], value: &[u8]);

    fn remove(&self, batch: &mut Self::Batch, key: &[u8]);

    /// Carries the batch out, all or nothing. It may not survive a power cut before `sync` has returned.
    fn write(&self, batch: Self::Batch) -> Result<()>;

    /// Makes sure that all batches survive a power cut, and what reading may have changed in its files.
    fn sync(&self) -> Result<()>;

    /// The record with this head.
    fn join(&self, key: &[u8], head: &[u8]) -> Result<Record> {
        let whole = Head::parse(key, head).and_then(|head| head.join(key, |index| self.get(&piece_key(key, index))));
        whole.map_err(|error| in_store(self.path(), &error))
    }
}
