//! The one error type: a kind to decide on, and a sentence that names the type, key and field concerned.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A result whose error is [`Error`] unless another one is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a transaction, or the opening of a store, did not succeed.
///
/// It is opaque, small (one pointer) and cheap to clone. Decide with [`kind`](Error::kind) or one of the predicates; show it
/// with `Display`, which is one sentence that names the type, key and field concerned. The cause below it, if there is one, is
/// [`source`](StdError::source) and is not repeated in the sentence.
///
/// ```
/// # use metaparticle::{persistent, scoped, Store};
/// # #[persistent] struct Account { balance: u64 }
/// # fn main() -> metaparticle::Result<()> {
/// # let store = Store::open("memory:")?;
/// # let _entered = store.enter();
/// let error = scoped("nobody", |account: &mut Account| { account.balance += 1; metaparticle::Ok(()) }).unwrap_err();
/// assert!(error.is_not_found());
/// assert_eq!(error.to_string(), "there is no Account \"nobody\"");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is. More kinds may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such object, and its type is not `#[persistent(default)]`.
    NotFound,
    /// Other transactions kept changing what this one read, until its attempts or its time ran out. Nothing was written.
    Conflict,
    /// The deadline passed before the commit was sent, or before a condition came true. Nothing was written.
    Timeout,
    /// The commit was handed to the engine and it is not known whether it will last. It must not be repeated blindly.
    Indeterminate,
    /// The same object was asked for twice at a time, at least once for writing.
    Borrowed,
    /// The body caught a panic that interrupted a change of an object. Nothing was written.
    Interrupted,
    /// A `read_only` transaction changed something.
    ReadOnly,
    /// Stored bytes are damaged, or not written by this library.
    Corrupt,
    /// Stored bytes are sound, but this program's types do not fit them, or a newer version of this library has written them.
    Incompatible,
    /// A value cannot be turned into bytes that can be read back.
    Encoding,
    /// A limit of the engine was exceeded, such as the size of a record.
    Limit,
    /// No store was opened or entered, a URL or an option cannot be used, or a condition is waited for that nothing stored can
    /// make true.
    Setup,
    /// The store is in use by another process, or is open in this one already.
    InUse,
    /// The engine failed: an I/O error, a full disk, a server that refuses. Nothing that this call changed was committed. After a write
    /// or a sync has failed in a store's folder, the store answers every call with this error until it is opened again.
    Engine,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { inner: Arc::new(Inner { kind, message: message.into(), source: None }) }
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { inner: Arc::new(Inner { kind, message: message.into(), source: Some(Arc::from(source.into())) }) }
    }

    /// The same error, its sentence preceded by the object that it is about.
    pub(crate) fn within(&self, object: impl fmt::Display) -> Self {
        let message = format!("{object}: {}", self.inner.message);
        Self { inner: Arc::new(Inner { kind: self.inner.kind, message, source: self.inner.source.clone() }) }
    }

    /// For engines of other crates: an error of `kind` with a sentence that says what failed.
    pub fn engine(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind, message)
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether there is no such object.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether other transactions kept changing what this one read. Nothing was written.
    pub fn is_conflict(&self) -> bool {
        self.kind() == ErrorKind::Conflict
    }

    /// Whether the deadline passed before the commit was sent, or before a condition came true. Nothing was written.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether it is not known if the commit will last.
    pub fn is_indeterminate(&self) -> bool {
        self.kind() == ErrorKind::Indeterminate
    }

    /// Whether stored bytes are damaged.
    pub fn is_corrupt(&self) -> bool {
        self.kind() == ErrorKind::Corrupt
    }

    /// Whether nothing was written and the same call may succeed later, as it is.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Conflict | ErrorKind::Timeout | ErrorKind::InUse)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

/// The kind, the sentence and its causes: what `fn main() -> Result<()>` prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.inner.kind, self.inner.message)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "; caused by: {cause}")?;
            source = cause.source();
        }
        std::result::Result::Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_ref().map(|source| &**source as _)
    }
}

/// `Ok` of a [`Result`] whose error is [`Error`], for the end of closures whose error type nothing else tells.
///
/// ```
/// # use metaparticle::{persistent, Store};
/// # #[persistent(default)] struct Visits { count: u64 }
/// # let store = Store::open("memory:")?;
/// let count = store.transaction(|tx| metaparticle::Ok(tx.get::<Visits>("home")?.count))?;
/// assert_eq!(count, 0);
/// # metaparticle::Ok(())
/// ```
#[allow(non_snake_case)]
pub fn Ok<T>(value: T) -> Result<T> {
    std::result::Result::Ok(value)
}
