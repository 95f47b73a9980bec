//! Keys that an attempt is to load, with their types.

use crate::engine::RecordKey;
use crate::schema::TypeInfo;

/// Keys, each once, with their types.
#[derive(Default)]
pub(crate) struct Keys {
    /// By themselves, since an engine is asked for keys.
    keys: Vec<RecordKey>,
    types: Vec<&'static TypeInfo>,
}

impl Keys {
    pub(crate) fn push(&mut self, info: &'static TypeInfo, key: &RecordKey) {
        if !self.keys.contains(key) {
            self.types.push(info);
            self.keys.push(key.clone());
        }
    }

    /// Leaves out those that `is_known`.
    pub(super) fn remove(&mut self, is_known: impl Fn(&RecordKey) -> bool) {
        let left = self.drain().filter(|(_, key)| !is_known(key)).collect();
        *self = left;
    }

    pub(super) fn keys(&self) -> &[RecordKey] {
        &self.keys
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static TypeInfo, &RecordKey)> {
        self.types.iter().copied().zip(&self.keys)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (&'static TypeInfo, RecordKey)> {
        self.types.drain(..).zip(self.keys.drain(..))
    }

    pub(super) fn clear(&mut self) {
        self.types.clear();
        self.keys.clear();
    }
}

/// Of keys that are all different.
impl FromIterator<(&'static TypeInfo, RecordKey)> for Keys {
    fn from_iter<I: IntoIterator<Item = (&'static TypeInfo, RecordKey)>>(all: I) -> Self {
        let (types, keys) = all.into_iter().unzip();
        Self { keys, types }
    }
}
