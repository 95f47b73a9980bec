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
    /// What it should be given at once, as [`change_bytes`](super::map::change_bytes) counts it.
    const PART_BYTES: usize = 256 << 10;

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

    /// Carries the batch out, all or nothing, and returns when it survives a power cut.
    fn commit(&self, batch: Self::Batch) -> Result<()>;

    /// The record with this head.
    fn join(&self, key: &[u8], head: &[u8]) -> Result<Record> {
        let whole = Head::parse(key, head).and_then(|head| head.join(key, |index| self.get(&piece_key(key, index))));
        whole.map_err(|error| in_store(self.path(), &error))
    }
}
