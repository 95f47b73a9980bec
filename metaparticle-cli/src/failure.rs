//! Why a command did not succeed: a sentence for people, and an exit code for programs.

use std::error::Error as _;
use std::fmt::Display;
use std::io;

use metaparticle::{Error, ErrorKind};

/// What the process ends with. `--help` and the guide list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Done = 0,
    Damage = 1,
    Usage = 2,
    NotFound = 3,
    InUse = 4,
    Store = 5,
    Conflict = 6,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same, with where it happened before it.
    pub(crate) fn at(self, place: impl Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::InUse => Code::InUse,
            ErrorKind::Corrupt => Code::Damage,
            ErrorKind::Conflict => Code::Conflict,
            ErrorKind::Setup | ErrorKind::Encoding | ErrorKind::Limit | ErrorKind::Incompatible => Code::Usage,
            _ => Code::Store,
        };
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Some sentences have their cause in them.
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Self { code, message }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever reads our output has seen enough.
            io::ErrorKind::BrokenPipe => Self::new(Code::Done, ""),
            _ => Self::new(Code::Store, format!("the output cannot be written: {error}")),
        }
    }
}
