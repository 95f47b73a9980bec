//! Keys and records as engines handle them: bytes that are cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use hipstr::HipByt;

use crate::sharing::AnyObject;
use crate::sync::unscheduled::Mutex;

/// Where a record is kept: the encoded name of its type and its key. Engines see bytes, ordered as bytes are.
#[derive(Clone, Eq, PartialOrd, Ord)]
pub struct RecordKey(HipByt<'static>);

impl RecordKey {
    /// A record key of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(HipByt::from(bytes.as_ref()))
    }

    /// The smallest key after this one.
    pub fn next(&self) -> Self {
        Self::new([&**self, &[0]].concat())
    }
}

impl Deref for RecordKey {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for RecordKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for RecordKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// The same as that of its bytes, by which it is looked up.
impl Hash for RecordKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The bytes of a record. Their clones share them, and the object that they were decoded to, or encoded from.
#[derive(Clone, Default)]
pub struct RecordBytes(Arc<Content>);

/// In this order, so that whoever reads the object finds it beside the counts of references, more often than not in the same line of the
/// processor's cache: that made reads a tenth faster where two processors share the objects.
#[derive(Default)]
#[repr(C)]
struct Content {
    object: Mutex<Option<Kept>>,
    bytes: Vec<u8>,
}

/// The object that some bytes stand for.
struct Kept {
    object: AnyObject,
    /// Whether it is nothing but what the bytes say, so that it can be changed in place of one that is decoded.
    is_whole: bool,
}

impl RecordBytes {
    /// The object, to be read, if one is kept.
    #[inline]
    pub(crate) fn object(&self) -> Option<AnyObject> {
        self.0.object.lock().as_ref().map(|kept| kept.object.clone())
    }

    pub(crate) fn has_object(&self) -> bool {
        self.0.object.lock().is_some()
    }

    /// Keeps the object that they were decoded to, to be read.
    pub(crate) fn keep(&self, object: AnyObject) {
        self.put(Kept { object, is_whole: false });
    }

    /// Keeps an object that is nothing but what they say, to be read or changed.
    pub(crate) fn leave(&self, object: AnyObject) {
        self.put(Kept { object, is_whole: true });
    }

    fn put(&self, kept: Kept) {
        let mut object = self.0.object.lock();
        // Another thread may have been faster; both objects are the same. One is dropped without the lock: that runs code of the user's.
        if object.is_none() {
            *object = Some(kept);
        }
    }

    /// The object, to be changed: nobody else has it.
    pub(crate) fn take(&self) -> Option<AnyObject> {
        let is_free = |kept: &mut Kept| kept.is_whole && Arc::strong_count(&kept.object) == 1;
        self.0.object.lock().take_if(is_free).map(|kept| kept.object)
    }
}

impl Deref for RecordBytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl From<Vec<u8>> for RecordBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Content { object: Mutex::new(None), bytes }))
    }
}

impl From<&[u8]> for RecordBytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl<const N: usize> From<[u8; N]> for RecordBytes {
    fn from(bytes: [u8; N]) -> Self {
        bytes.to_vec().into()
    }
}

impl PartialEq for RecordBytes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for RecordBytes {}

impl fmt::Debug for RecordBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}
