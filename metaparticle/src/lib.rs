//! Implicit, concurrent persistence for Rust: ordinary structs that survive, functions that retry.
//!
//! Mark a struct `#[persistent]`, mark a function `#[transactional]`, assign to fields. The changes are on disk when the
//! function returns, and when two writers collide, the loser is rolled back and run again.
//!
//! ```
//! use metaparticle::{persistent, transactional, Result};
//!
//! #[persistent(default)]
//! struct Visits { count: u64 }
//!
//! #[transactional]
//! fn visit(page: &mut Visits) -> Result<u64> {
//!     page.count += 1;
//!     Ok(page.count)
//! }
//!
//! fn main() -> Result<()> {
//! #   let folder = tempfile::tempdir().expect("a folder");
//! #   std::env::set_current_dir(&folder).expect("the folder");
//!     metaparticle::open("visits.db")?;
//!     println!("{} visits", visit("home")?);
//!     Ok(())
//! }
//! ```
//!
//! # Words
//!
//! - An *object* is a value of a `#[persistent]` struct, identified by the struct's stored name and a key. It comes into being
//!   when it is inserted or, for `#[persistent(default)]`, first changed; it stays until it is removed.
//! - A *transaction* is one call of a transactional function, from the caller's view: it happens once or not at all. Its body
//!   is run in one or more *attempts*.
//! - A *conflict* is when, at commit, something that the body has read is no longer current. The body is run again; or, if
//!   nothing that it read has other bytes now, its changes are put on top (*rebased*).
//! - A *store* is what a program opens; it runs transactions on one *engine*, which keeps the objects' *records*.
//!
//! # What is promised
//!
//! Transactions of one store are strictly serializable. Whatever a body reads was current together, at any moment, also in
//! attempts that are rolled back. When a transactional function has returned, what it wrote and what it read survives a power
//! cut, unless [`Durability::Eventual`] was asked for. A transaction ends by its deadline. Only what has changed is written.
//!
//! # Where to go on
//!
//! [`macro@persistent`] and [`macro@transactional`] have all options and forms; [`Tx`] is for keys known only at run time;
//! [`Store`] for more than one store, for options, and for the same things without macros; [`Error`] for what can go wrong.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod durability;
mod encoding;
mod error;
mod key;
mod object;
mod persistent;
mod schema;
mod store;
mod sync;
mod transaction;

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod engine;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::durability::Durability;
pub use crate::error::{Error, ErrorKind, Ok, Result};
pub use crate::key::{IntoKey, IntoRange, Key, KeyFor};
pub use crate::object::{Mut, Ref};
pub use crate::persistent::{Handle, Persistent, Singleton};
pub use crate::store::{Entered, Stats, Store, StoreBuilder, open, scoped};
pub use crate::transaction::{Keys, Outcome, Range, RetryPolicy, Target, TransactionOptions, Tx};

pub use metaparticle_derive::{persistent, transactional};
