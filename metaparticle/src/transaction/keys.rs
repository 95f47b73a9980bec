//! Keys that an attempt is to load, with their types.

use smallvec::SmallVec;

use crate::engine::RecordKey;
use crate::schema::TypeInfo;

/// So many objects are worked on without an allocation for each step; most functions have no more.
pub(super) const FEW: usize = 4;

/// Keys, each once, with their types.
#[derive(Default)]
pub(crate) struct Keys {
    /// By themselves, since an engine is asked for keys.
    keys: SmallVec<[RecordKey; FEW]>,
    types: SmallVec<[&'static TypeInfo; FEW]>,
}

impl Keys {
    pub(crate) fn push(&mut self, info: &'static TypeInfo, key: &RecordKey) {
        if !self.keys.contains(key) {
            self.types.push(info);
            self.keys.push(key.clone());
        }
    }

    /// Leaves out those that `is_known`.
    pub(super) fn without(self, is_known: impl Fn(&RecordKey) -> bool) -> Self {
        self.into_iter().filter(|(_, key)| !is_known(key)).collect()
    }

    pub(super) fn keys(&self) -> &[RecordKey] {
        &self.keys
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static TypeInfo, &RecordKey)> {
        self.types.iter().copied().zip(&self.keys)
    }
}

/// Of keys that are all different.
impl FromIterator<(&'static TypeInfo, RecordKey)> for Keys {
    fn from_iter<I: IntoIterator<Item = (&'static TypeInfo, RecordKey)>>(all: I) -> Self {
        let (types, keys) = all.into_iter().unzip();
        Self { keys, types }
    }
}

impl IntoIterator for Keys {
    type Item = (&'static TypeInfo, RecordKey);
    type IntoIter = std::iter::Zip<smallvec::IntoIter<[&'static TypeInfo; FEW]>, smallvec::IntoIter<[RecordKey; FEW]>>;
    fn into_iter(self) -> Self::IntoIter {
        self.types.into_iter().zip(self.keys)
    }
}
