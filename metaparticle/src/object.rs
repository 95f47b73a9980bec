//! The handles that a body works on objects through.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::encoding::{Before, Encoded, FieldSet};
use crate::persistent::Persistent;
use crate::transaction::{Attempt, Taken};

/// An object, for reading. Dereferences to `T`; checked at commit like everything that a transaction reads.
///
/// It cannot outlive its transaction:
///
/// ```compile_fail
/// # use metaparticle::{persistent, Ref, Result, Store};
/// # #[persistent(default)] struct Visits { count: u64 }
/// # let store = Store::open("memory:")?;
/// let escaped: Ref<Visits> = store.transaction(|tx| tx.get::<Visits>("home"))?;
/// # metaparticle::Ok(())
/// ```
///
/// The decoded object may be shared with other transactions, now and later. So what it lets one change without `&mut`, such as an atomic
/// number in it, is not a change of the object: it is not stored, and others may see it.
pub struct Ref<'tx, T> {
    object: Arc<T>,
    attempt: &'tx Attempt,
    slot: usize,
}

impl<'tx, T> Ref<'tx, T> {
    /// The slot counts it already.
    pub(crate) fn new(attempt: &'tx Attempt, slot: usize, object: Arc<T>) -> Self {
        Self { object, attempt, slot }
    }
}

/// As long as it is there, its transaction does not change the object.
impl<T> Drop for Ref<'_, T> {
    fn drop(&mut self) {
        self.attempt.let_go(self.slot);
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> Clone for Ref<'_, T> {
    fn clone(&self) -> Self {
        self.attempt.hold(self.slot);
        Self::new(self.attempt, self.slot, self.object.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

/// An object, for reading and writing, with the accessors that `#[persistent]` has generated: for each field `count` there are
/// `count()`, `set_count(value)` and `count_mut()`, which note which fields were read and which written.
///
/// A transaction that used only accessors does not conflict with a change of other fields. It dereferences to `T`, too; then
/// all fields count as read. What has changed is found when the handle is dropped, by comparing bytes; only a commit writes.
///
/// It is an alias of the struct that the attribute generates, so that accessors need no import and
/// `a.set_n(a.n() + 1)` compiles. A method of `T` that has the same name as an accessor is called as `T::name(&handle)`.
///
/// ```
/// # use metaparticle::{persistent, transactional, Mut, Result, Store};
/// #[persistent(default)]
/// struct Page { visits: u64, title: String }
///
/// #[transactional]
/// fn visit(page: Mut<Page>) -> Result<u64> {
///     page.set_visits(page.visits() + 1);
///     Ok(*page.visits())
/// }
/// # fn main() -> Result<()> {
/// # let store = Store::open("memory:")?;
/// assert_eq!(store.run(|| visit("home"))?, 1);
/// # Ok(())
/// # }
/// ```
pub type Mut<'tx, T> = <T as Persistent>::Mut<'tx>;

/// An object that is lent for writing; what every handle wraps.
pub struct Tracked<'tx, T: 'static> {
    attempt: &'tx Attempt,
    slot: usize,
    /// Nobody else has it.
    object: Arc<T>,
    /// Whether it was in its record, and not decoded.
    was_kept: bool,
    read: Cell<FieldSet>,
    assigned: FieldSet,
    is_changed: bool,
    /// The fields before the first change; `None` until then, if only the object can tell.
    before: Option<Before>,
    panicking: bool,
    // Functions of `T: Persistent`, as pointers: a bound on this struct would be repeated in every expansion.
    encode: fn(&T) -> Option<Encoded>,
    take_back: fn(&Attempt, usize, Arc<T>, Taken),
}

impl<'tx, T: 'static> Tracked<'tx, T> {
    /// `object`: one that nobody else has. `before`: its fields, unless only the object can tell.
    pub(crate) fn new(attempt: &'tx Attempt, slot: usize, object: Arc<T>, was_kept: bool, before: Option<Before>) -> Self
    where
        T: Persistent,
    {
        Self {
            attempt,
            slot,
            object,
            was_kept,
            read: Cell::new(FieldSet::NONE),
            assigned: FieldSet::NONE,
            is_changed: false,
            before,
            panicking: std::thread::panicking(),
            // An object that cannot be encoded is reported when it comes back.
            encode: |object| Attempt::encode(object, Before::Nothing).ok().map(|(fields, _)| fields),
            take_back: |attempt, slot, object, taken| attempt.take_back(slot, object, taken),
        }
    }

    /// The object, to read any of it.
    pub fn read_all(&self) -> &T {
        self.read.set(FieldSet::ALL);
        &self.object
    }

    /// The object, to read and write any of it.
    pub fn write_all(&mut self) -> &mut T {
        self.read.set(FieldSet::ALL);
        self.writable()
    }

    /// The object, to read only the field with this index.
    pub fn read(&self, field: usize) -> &T {
        self.read.set(self.read.get() | FieldSet::of(field));
        &self.object
    }

    /// The object, to replace only the field with this index.
    pub fn write(&mut self, field: usize) -> &mut T {
        // A field that was read before is a plain change; one that was not must be written whatever it turns out to be.
        if !self.read.get().contains(field) {
            self.assigned |= FieldSet::of(field);
        }
        // Otherwise what somebody else writes meanwhile to those that share its place would be taken for written here.
        if FieldSet::is_shared(field) {
            self.read.set(self.read.get() | FieldSet::of(field));
        }
        self.writable()
    }

    /// The object, to read and write only the field with this index.
    pub fn read_write(&mut self, field: usize) -> &mut T {
        self.read.set(self.read.get() | FieldSet::of(field));
        self.writable()
    }

    fn writable(&mut self) -> &mut T {
        if self.before.is_none() {
            self.before = Some(Before::Fields((self.encode)(&self.object).unwrap_or_default()));
        }
        self.is_changed = true;
        Arc::get_mut(&mut self.object).expect("nobody else has it")
    }
}

/// Only gives the object back to its transaction; a commit writes.
impl<T: 'static> Drop for Tracked<'_, T> {
    fn drop(&mut self) {
        let before = self.before.take();
        let interrupted = self.is_changed && !self.panicking && std::thread::panicking();
        let is_changed = self.is_changed;
        let (was_kept, read, assigned) = (self.was_kept, self.read.get(), self.assigned);
        let taken = Taken { is_changed, was_kept, before, read, assigned, interrupted };
        (self.take_back)(self.attempt, self.slot, self.object.clone(), taken);
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for Tracked<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read_all().fmt(f)
    }
}
