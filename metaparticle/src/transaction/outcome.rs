//! What a body returns.

use crate::Error;

/// What a transactional function returns: a `Result` whose error can hold a [`metaparticle::Error`](Error).
#[diagnostic::on_unimplemented(
    message = "a transactional function cannot return `{Self}`",
    label = "not a `Result` whose error can hold a `metaparticle::Error`",
    note = "return `metaparticle::Result<T>`, or a `Result<T, E>` where `E: From<metaparticle::Error>`: loading and committing can fail, and `Err` rolls back"
)]
pub trait Outcome: Sized {
    /// The outcome of a transaction that could not be committed.
    fn from_error(error: Error) -> Self;
    /// Whether to commit.
    fn is_success(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<R, E: From<Error>> Outcome for Result<R, E> {
    fn from_error(error: Error) -> Self {
        Err(error.into())
    }

    fn is_success(&self) -> bool {
        self.is_ok()
    }
}
