//! Calls of sled, whose panics become errors.
//!
//! On damaged files sled 0.34 panics in many places. The message of such a panic still goes to standard error, because the
//! panic hook belongs to the program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Calls `f` for the store at `path`. Its errors and panics are of `kind`, and say that `what` failed.
pub(super) fn guarded<T>(path: &Path, kind: ErrorKind, what: &str, f: impl FnOnce() -> ::sled::Result<T>) -> Result<T> {
    let message = || format!("the store {} failed: sled {what}", path.display());
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let kind = match &error {
                ::sled::Error::Corruption { .. } => ErrorKind::Corrupt,
                // The system's word, such as a full disk. Other I/O errors are sled's way to say that a file is too short.
                ::sled::Error::Io(error) if error.raw_os_error().is_some() => ErrorKind::Engine,
                _ => kind,
            };
            Err(Error::with_source(kind, message(), error))
        }
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::with_source(kind, message(), said.unwrap_or("it panicked").to_owned()))
        }
    }
}

/// Keeps sled open until all other handles are dropped: the last one syncs, and panics if that fails.
pub(super) struct LastHandle(Option<::sled::Db>);

impl LastHandle {
    pub(super) fn new(db: ::sled::Db) -> Self {
        Self(Some(db))
    }
}

impl Drop for LastHandle {
    fn drop(&mut self) {
        let db = self.0.take();
        // What was acknowledged has been synced before, so nobody needs to be told.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}
