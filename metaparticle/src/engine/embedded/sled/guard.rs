//! Calls of sled, whose panics become errors.
//!
//! On damaged files sled 0.34 panics in many places. The message of such a panic still goes to standard error, because the
//! panic hook belongs to the program.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};

/// Calls `f`. Its errors and panics are of `kind`, and say that `what` failed.
pub(super) fn guarded<T>(kind: ErrorKind, what: &str, f: impl FnOnce() -> ::sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ ::sled::Error::Corruption { .. })) => {
            Err(Error::with_source(ErrorKind::Corrupt, format!("sled {what}"), error))
        }
        Ok(Err(error)) => Err(Error::with_source(kind, format!("sled {what}"), error)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::with_source(kind, format!("sled {what}"), said.unwrap_or("it panicked").to_owned()))
        }
    }
}
