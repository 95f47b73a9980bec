//! What a client tells of a transaction.

use metaparticle::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::history::{Outcome, Transaction};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Event {
    Lists(Transaction),
    /// An element was added to the set.
    Added {
        element: u64,
        start: u64,
        end: u64,
        outcome: Outcome,
    },
    /// The set was read.
    Scanned {
        start: u64,
        end: u64,
        elements: Vec<u64>,
    },
    /// Both counters of the pair were incremented.
    Incremented(Outcome),
    /// The token was moved.
    Moved(Outcome),
    /// A transaction of another kind.
    Did(Outcome),
    /// What must always hold did not.
    Broken {
        what: String,
    },
    /// An error that must not come of this.
    Unexpected {
        error: String,
    },
}

/// What a transaction's result says of it; with an event if the result must not be.
pub(super) fn outcome<T>(result: &Result<T, Error>) -> (Outcome, Option<Event>) {
    match result {
        Ok(_) => (Outcome::Committed, None),
        Err(error) if error.is_indeterminate() => (Outcome::Unknown, None),
        Err(error) => (Outcome::Failed, unexpected(error)),
    }
}

/// The event of an error that is neither a conflict nor a deadline, the only ones that these transactions can meet.
pub(super) fn unexpected(error: &Error) -> Option<Event> {
    let is_expected = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Timeout | ErrorKind::Indeterminate);
    (!is_expected).then(|| Event::Unexpected { error: format!("{error:?}") })
}
