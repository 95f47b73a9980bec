//! Calls of the library behind an ordered map, whose panics become errors.
//!
//! On damaged files sled 0.34 panics in many places, and fjall 3 in some. The message of such a panic still goes to standard
//! error, because the panic hook belongs to the program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The errors of such a library.
pub(super) trait LibraryError: std::error::Error + Send + Sync + 'static {
    const LIBRARY: &'static str;

    /// Its kind, if that does not depend on what was called.
    fn kind(&self) -> Option<ErrorKind>;
}

/// Calls `f` for the store at `path`. Its errors, unless they say more, and its panics are of `kind`, and say that `what` failed.
pub(super) fn guarded<T, E: LibraryError>(
    path: &Path,
    kind: ErrorKind,
    what: &str,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    let message = || format!("the store {} failed: {} {what}", path.display(), E::LIBRARY);
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::with_source(error.kind().unwrap_or(kind), message(), error)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::with_source(kind, message(), said.unwrap_or("it panicked").to_owned()))
        }
    }
}

/// Keeps a library open until all other handles are dropped: the last one syncs, and may panic if that fails.
pub(super) struct LastHandle<T>(Option<T>);

impl<T> LastHandle<T> {
    pub(super) fn new(handle: T) -> Self {
        Self(Some(handle))
    }
}

impl<T> Drop for LastHandle<T> {
    fn drop(&mut self) {
        let handle = self.0.take();
        // What was acknowledged has been synced before, so nobody needs to be told.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(handle)));
    }
}
