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
//! attempts that are rolled back, or will be, if all commits succeed that are on their way to a server. When a transactional function has returned, what it wrote and what it read survives a power
//! cut, unless [`Durability::Eventual`] was asked for. A transaction ends by its deadline, but for the time that its
//! body takes by itself. Only what has changed is written.
//!
//! # Where to go on
//!
//! [`macro@persistent`] and [`macro@transactional`] have all options and forms; [`Tx`] is for keys known only at run time;
//! [`Store`] for more than one store, for options, and for the same things without macros; [`Error`] for what can go wrong. The
//! module `inspect` (feature `inspect`) reads and changes stores without the program's types, and the tool `metaparticle` is made
//! of it.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod durability;
mod encoding;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod held;
mod key;
mod object;
mod persistent;
mod planted;
mod random;
#[cfg(metaparticle_schedule)]
#[doc(hidden)]
pub mod schedule;
mod schema;
pub mod shape;
mod sharing;
mod store;
mod sync;
mod transaction;
mod watch;
mod written;

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod engine;
#[cfg(feature = "inspect")]
pub mod inspect;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::durability::Durability;
pub use crate::error::{Error, ErrorKind, Ok, Result};
pub use crate::key::{IntoKey, IntoRange, Key, KeyFor};
pub use crate::object::{Mut, Ref};
pub use crate::persistent::{Handle, Persistent, Singleton};
#[cfg(feature = "schema-file")]
pub use crate::schema::SchemaFile;
pub use crate::store::{Entered, Stats, Store, StoreBuilder, open, scoped};
pub use crate::transaction::{Keys, Outcome, Range, RetryPolicy, Target, TransactionOptions, Tx};
pub use crate::watch::{Change, Watch};

/// Makes a struct persistent: its values are objects of a store.
///
/// It goes on a struct with named fields, which may be generic. Each stored field needs serde's `Serialize` and `Deserialize`;
/// nothing else is asked, and no other derive.
///
/// ```
/// use metaparticle::persistent;
///
/// #[persistent(name = "order", key = (String, u64), default)]
/// struct Order {
///     items: Vec<String>,
///     #[persistent(default = three, alias = "prio")]
///     priority: u8,
///     #[persistent(skip)]
///     total: Option<u64>,
/// }
///
/// fn three() -> u8 {
///     3
/// }
/// ```
///
/// On the struct: `name = "…"` (stored name; the struct's own unless set), `key = Type` (`String` unless set; integers,
/// `uuid::Uuid` with the feature `uuid`, tuples of these), `default` (an absent object is made of its fields' defaults, and is
/// stored once it is changed; without it, an absent object is an error), `singleton` (there is one object, without a key),
/// `from = OldStruct` and `migrate = function` (what it was before; repeatable), `crate = path`.
///
/// On a field: `default` or `default = path` (for records and objects that do not have it), `rename = "…"`, `alias = "…"`
/// (repeatable), `skip` (never stored), `with = module` (as with serde), `from = OldType` and `migrate = function` (what it was
/// before; repeatable), `get = name` and `set = name` (of the accessors).
///
/// It implements [`Persistent`], and makes the struct that [`Mut`] stands for, whose accessors `field()`, `set_field(value)` and
/// `field_mut()` have the field's visibility.
pub use metaparticle_derive::persistent;

/// Makes a function a transaction: its persistent parameters become keys, and its body may run more than once.
///
/// ```
/// use metaparticle::{persistent, transactional, Mut, Ref, Result, Store, Tx};
///
/// #[persistent(default)]
/// struct Account {
///     balance: i64,
/// }
///
/// impl Account {
///     #[transactional]
///     fn deposit(&mut self, amount: i64) -> Result<i64> {
///         self.balance += amount;
///         Ok(self.balance)
///     }
/// }
///
/// #[transactional(attempts = 100, timeout = "2s")]
/// fn transfer(from: &mut Account, to: Mut<Account>, limit: Option<Ref<Account>>, tx: &Tx, amount: i64) -> Result<bool> {
///     if limit.is_some_and(|limit| limit.balance < amount) {
///         return Ok(false);
///     }
///     from.balance -= amount;
///     to.set_balance(to.balance() + amount);
///     tx.after_commit(|| println!("done"));
///     Ok(true)
/// }
///
/// # fn main() -> Result<()> {
/// # let store = Store::open("memory:")?;
/// # let _entered = store.enter();
/// Account::deposit("ann", 10)?;
/// assert!(transfer("ann", "ben", "no limit", 7)?);
/// # Ok(())
/// # }
/// ```
///
/// | parameter | meaning | what the caller passes |
/// |---|---|---|
/// | `x: &mut T` | the object; what differs at the end is written | the key |
/// | `x: Ref<T>` | the object, for reading | the key |
/// | `x: Mut<T>` | the object, with accessors that track fields | the key |
/// | `Option<…>` of these | `None` where there is no such object | the key |
/// | `&mut self` in an `impl` of a persistent struct | as `&mut T` | the key |
/// | `tx: &Tx` | the transaction | nothing |
/// | `#[singleton]` before `&mut T`, `Ref<T>`, `Mut<T>` or `&mut self` | the one object | nothing |
/// | anything else | passed through; by value, it is cloned for each attempt | as declared |
///
/// It returns any `Result<R, E>` with `E: From<metaparticle::Error>`. `Err` and a panic roll back. Called inside another
/// transaction of the same store, it joins it. It may be an `async fn`: then the waiting is async, on any executor, and the body
/// holds no `.await`.
///
/// Options: `attempts = 3`, `timeout = "2s"` (`ms`, `s`, `m`), `durability = eventual` or `immediate`, `read_only` (a change is an
/// error), `crate = path`. Where the function joins another one, that one's `attempts`, `timeout` and `durability` hold.
pub use metaparticle_derive::transactional;
