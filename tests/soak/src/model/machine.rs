//! The same programs on metaparticle.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metaparticle::{Durability, Error, Result, Store, TransactionOptions, Tx};
use metaparticle_tests::programs::Shared;
use proptest_state_machine::StateMachineTest;
use tempfile::TempDir;

use super::program::{Bounds, Call, Change, End, Op, Step, Then, Transaction, Type, Version};
use super::reference::{Ended, Machine, Reference, Seen};
use super::types::{Kind, defaulted, first, migrated, number_of, pair, plain, renamed, single, with_field};
use crate::engine::Engine as Name;

/// Calls a function for a type in a version.
macro_rules! with_type {
    ($ty:expr, $version:expr, $function:ident $arguments:tt) => {
        match ($ty, $version) {
            (Type::Plain, _) => $function::<plain::Object>$arguments,
            (Type::Defaulted, _) => $function::<defaulted::Object>$arguments,
            (Type::Pair, _) => $function::<pair::Object>$arguments,
            (Type::Single, _) => $function::<single::Object>$arguments,
            (Type::User, Version::First) => $function::<first::Object>$arguments,
            (Type::User, Version::WithField) => $function::<with_field::Object>$arguments,
            (Type::User, Version::Renamed) => $function::<renamed::Object>$arguments,
            (Type::User, Version::Migrated) => $function::<migrated::Object>$arguments,
        }
    };
}

/// Whoever waits for the disk all the same is not to wait long.
const FLUSH_INTERVAL: Duration = Duration::from_millis(1);

thread_local! {
    /// Where the programs of this thread keep their objects.
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Where programs keep their objects.
pub(super) struct Place {
    engine: Name,
    folder: TempDir,
    /// A store that programs use one after the other.
    used: Option<Kept>,
}

impl Place {
    /// The programs of this thread use `engine` from now on.
    pub(super) fn set(engine: Name) -> std::io::Result<()> {
        let place = Self { engine, folder: tempfile::tempdir()?, used: None };
        PLACE.set(Some(place));
        Ok(())
    }
}

/// How many of all programs have versions. On a disk, each of them needs a new store.
pub(super) fn evolving() -> f64 {
    let is_in_memory = PLACE.with_borrow(|place| place.as_ref().is_some_and(|place| place.engine == Name::Memory));
    if is_in_memory { 0.1 } else { 0.03 }
}

/// What outlives a program, and the store that is open on it.
enum Kept {
    Memory(Shared),
    Folder(TempDir, Option<Store>),
}

impl Kept {
    fn new(place: &Place) -> Self {
        match place.engine {
            Name::Memory => Self::Memory(Shared::in_memory()),
            _ => Self::Folder(TempDir::new_in(place.folder.path()).expect("a folder"), None),
        }
    }

    /// The store, as it is or opened again.
    fn open(&mut self, engine: Name, again: bool) -> Store {
        match self {
            Self::Memory(shared) => shared.program(),
            Self::Folder(folder, store) => {
                if again {
                    *store = None;
                }
                let open = || {
                    let url = engine.url_in(&folder.path().join("store"));
                    let builder = Store::builder(url).durability(Durability::Eventual).flush_interval(FLUSH_INTERVAL);
                    builder.open().expect("the store opens")
                };
                store.get_or_insert_with(open).clone()
            }
        }
    }
}

/// A program that runs.
pub(super) struct Program {
    kept: Option<Kept>,
    engine: Name,
    store: Option<Store>,
    version: Version,
    effects: Arc<Mutex<Vec<u64>>>,
    /// Whether what it leaves can be used by others.
    is_reusable: bool,
}

impl Program {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }
}

/// Leaves its store to the next one, also when it has failed.
impl Drop for Program {
    fn drop(&mut self) {
        self.store = None;
        let kept = self.kept.take().filter(|_| self.is_reusable && !std::thread::panicking());
        PLACE.with_borrow_mut(|place| {
            if let (Some(place), Some(kept)) = (place, kept) {
                place.used = Some(kept);
            }
        });
    }
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Program;
    type Reference = Machine;

    fn init_test(reference: &Reference) -> Program {
        let (mut kept, engine) = PLACE.with_borrow_mut(|place| {
            let place = place.as_mut().expect("it was set");
            let used = place.used.take().filter(|_| !reference.evolves);
            (used.unwrap_or_else(|| Kept::new(place)), place.engine)
        });
        let store = kept.open(engine, false);
        for ty in [Type::Plain, Type::Defaulted, Type::Pair, Type::Single, Type::User] {
            with_type!(ty, reference.version, clear(&store)).expect("what an earlier program has left is removed");
        }
        let effects = Arc::default();
        let (version, is_reusable) = (reference.version, !reference.evolves);
        Program { kept: Some(kept), engine, store: Some(store), version, effects, is_reusable }
    }

    fn apply(mut program: Program, reference: &Reference, step: Step) -> Program {
        match step {
            Step::Reopen(version) => {
                program.version = version;
                program.store = None;
                program.store = Some(program.kept.as_mut().expect("it is there").open(program.engine, true));
            }
            Step::Transaction(transaction) => {
                let before = program.store().stats().commits;
                let seen = run(&program, &transaction);
                assert_eq!(seen, reference.seen, "what is seen, and what must be");
                let commits = program.store().stats().commits - before;
                if let Some(expected) = reference.commits {
                    assert_eq!(commits, u64::from(expected), "how many commits there are, and must be");
                }
            }
        }
        program
    }

    fn check_invariants(program: &Program, reference: &Reference) {
        if reference.looks {
            look(program, reference);
        }
    }

    fn teardown(program: Program, reference: Reference) {
        look(&program, &reference);
    }
}

/// Looks at all objects.
fn look(program: &Program, reference: &Reference) {
    let found = program.store().transaction(|tx| {
        let types = [Type::Plain, Type::Defaulted, Type::Pair, Type::User];
        types.into_iter().map(|ty| with_type!(ty, program.version, all(tx))).collect::<Result<Vec<_>>>()
    });
    let expected: Vec<_> =
        [Type::Plain, Type::Defaulted, Type::Pair, Type::User].into_iter().map(|ty| reference.all(ty)).collect();
    assert_eq!(found.expect("all is read"), expected, "what there is, and what there must be");
    let single = program.store().transaction(|tx| Ok::<_, Error>(tx.get::<Option<single::Object>>(())?.map(|one| one.value())));
    let expected = reference.all(Type::Single).pop().map(|(_, value)| value);
    assert_eq!(single.expect("it is read"), expected, "the single object, and what it must be");
    assert_eq!(*program.effects.lock().expect("nobody panics"), reference.effects, "effects, and those that must be");
}

fn all<T: Kind>(tx: &Tx) -> Result<Vec<(u8, super::program::Value)>> {
    tx.range::<T>(..).map(|entry| entry.map(|(key, object)| (number_of::<T>(&key), object.value()))).collect()
}

fn clear<T: Kind>(store: &Store) -> Result<()> {
    store.transaction(|tx| {
        let keys: Vec<T::Key> = tx.keys::<T>(..).collect::<Result<_>>()?;
        keys.into_iter().try_for_each(|key| tx.remove::<T>(key).map(drop))
    })
}

/// Why a body ends.
#[derive(Debug)]
enum Stop {
    Planned,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

struct PlannedPanic;

/// What a transaction sees.
fn run(program: &Program, transaction: &Transaction) -> Vec<Seen> {
    let store = program.store();
    let _entered = store.enter();
    let seen = RefCell::new(Vec::new());
    let options = if transaction.read_only { TransactionOptions::new().read_only() } else { TransactionOptions::new() };
    let body = |tx: &Tx| {
        seen.borrow_mut().clear();
        let work = Work { store, tx, version: program.version, seen: &seen, effects: &program.effects };
        work.run(&transaction.ops);
        end(transaction.end)
    };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        if transaction.in_future {
            pollster::block_on(store.transaction_async_with(options, body))
        } else {
            store.transaction_with(options, body)
        }
    }));
    let ended = Seen::Ended(how_it_ended(ended));
    let mut seen = seen.into_inner();
    seen.push(ended);
    seen
}

fn end(end: End) -> Result<(), Stop> {
    match end {
        End::Succeed => Ok(()),
        End::Fail => Err(Stop::Planned),
        End::Panic => resume_unwind(Box::new(PlannedPanic)),
    }
}

fn how_it_ended(result: std::thread::Result<Result<(), Stop>>) -> Ended {
    match result {
        Ok(Ok(())) => Ended::Well,
        Ok(Err(Stop::Planned)) => Ended::AsPlanned(End::Fail),
        Ok(Err(Stop::Error(error))) => Ended::Error(error.kind()),
        Err(panic) if panic.is::<PlannedPanic>() => Ended::AsPlanned(End::Panic),
        Err(panic) => resume_unwind(panic),
    }
}

/// An attempt at work.
struct Work<'a> {
    store: &'a Store,
    tx: &'a Tx,
    version: Version,
    seen: &'a RefCell<Vec<Seen>>,
    effects: &'a Arc<Mutex<Vec<u64>>>,
}

impl Work<'_> {
    fn run(&self, ops: &[Op]) {
        for op in ops {
            let seen = self.op(op).unwrap_or_else(|error| Seen::Error(error.kind()));
            self.seen.borrow_mut().push(seen);
        }
    }

    fn op(&self, op: &Op) -> Result<Seen> {
        let tx = self.tx;
        match op {
            Op::Nested { ops, end: how } => {
                let body = |tx: &Tx| {
                    Work { tx, ..*self }.run(ops);
                    end(*how)
                };
                Ok(Seen::Ended(how_it_ended(catch_unwind(AssertUnwindSafe(|| self.store.transaction(body))))))
            }
            Op::AfterCommit(effect) => {
                let (effects, effect) = (self.effects.clone(), *effect);
                tx.after_commit(move || effects.lock().expect("nobody panics").push(effect));
                Ok(Seen::Ended(Ended::Well))
            }
            Op::Keys(ty, bounds) => with_type!(*ty, self.version, keys(tx, *bounds)),
            Op::Range(ty, bounds, take) => with_type!(*ty, self.version, range(tx, *bounds, *take)),
            Op::Get(ty, _)
            | Op::GetOption(ty, _)
            | Op::Contains(ty, _)
            | Op::Insert(ty, ..)
            | Op::Remove(ty, _)
            | Op::Change(ty, ..)
            | Op::ChangeOption(ty, ..)
            | Op::Call(ty, ..)
            | Op::Swap(ty, ..)
            | Op::WhileHeld { ty, .. } => with_type!(*ty, self.version, on_objects(tx, op)),
        }
    }
}

fn on_objects<T: Kind>(tx: &Tx, op: &Op) -> Result<Seen> {
    Ok(match op {
        Op::Get(_, key) => Seen::Value(Some(tx.get::<T>(T::key(*key))?.value())),
        Op::GetOption(_, key) => Seen::Value(tx.get::<Option<T>>(T::key(*key))?.map(|object| object.value())),
        Op::Contains(_, key) => Seen::Is(tx.contains::<T>(T::key(*key))?),
        Op::Insert(_, key, value) => {
            tx.insert(T::key(*key), T::new(value.clone()))?;
            Seen::Ended(Ended::Well)
        }
        Op::Remove(_, key) => Seen::Is(tx.remove::<T>(T::key(*key))?),
        Op::Change(_, key, how) => change::<T>(&mut tx.get_mut::<T>(T::key(*key))?, how),
        Op::ChangeOption(_, key, how) => match tx.get_mut::<Option<T>>(T::key(*key))? {
            Some(mut handle) => change::<T>(&mut handle, how),
            None => Seen::Value(None),
        },
        Op::Call(_, key, call, number) => match call {
            Call::Plain => Seen::Number(Some(T::add_plain(T::key(*key), *number)?)),
            Call::Tracked => Seen::Number(Some(T::add_tracked(T::key(*key), *number)?)),
            Call::Optional => Seen::Number(T::add_optional(T::key(*key), *number)?),
            Call::Read => Seen::Value(Some(T::look(T::key(*key))?)),
        },
        Op::Swap(_, one, other) => {
            let mut one = tx.get_mut::<T>(T::key(*one))?;
            let mut other = tx.get_mut::<T>(T::key(*other))?;
            std::mem::swap(T::number_mut(&mut one), T::number_mut(&mut other));
            std::mem::swap(T::text_mut(&mut one), T::text_mut(&mut other));
            Seen::Ended(Ended::Well)
        }
        Op::WhileHeld { key, for_writing: true, then, .. } => {
            let _held = tx.get_mut::<T>(T::key(*key))?;
            then_do::<T>(tx, *key, *then)?
        }
        Op::WhileHeld { key, then, .. } => {
            let _held = tx.get::<T>(T::key(*key))?;
            then_do::<T>(tx, *key, *then)?
        }
        Op::Keys(..) | Op::Range(..) | Op::Nested { .. } | Op::AfterCommit(_) => unreachable!("not with one type of objects"),
    })
}

fn then_do<T: Kind>(tx: &Tx, key: u8, then: Then) -> Result<Seen> {
    let key = T::key(key);
    Ok(match then {
        Then::Get => Seen::Value(Some(tx.get::<T>(key)?.value())),
        Then::GetMut => {
            drop(tx.get_mut::<T>(key)?);
            Seen::Ended(Ended::Well)
        }
        Then::Insert => {
            tx.insert(key, T::new(super::program::Value::default()))?;
            Seen::Ended(Ended::Well)
        }
        Then::Remove => Seen::Is(tx.remove::<T>(key)?),
        Then::Range => Seen::Keys(all::<T>(tx)?.into_iter().map(|(key, _)| key).collect()),
    })
}

fn change<T: Kind>(handle: &mut metaparticle::Mut<'_, T>, how: &Change) -> Seen {
    match how {
        Change::Nothing => {}
        Change::ReadNumber => return Seen::Number(Some(T::number(handle))),
        Change::SetNumber(number) => T::set_number(handle, *number),
        Change::AddNumber(number) => *T::number_mut(handle) += (*number).try_into().expect("numbers are small"),
        Change::PushText(char) => T::text_mut(handle).push(*char),
        Change::SetExtra(extra) => T::set_extra(handle, extra.clone()),
        Change::Replace(value) => **handle = T::new(value.clone()),
        Change::AndBack => {
            T::text_mut(handle).push('x');
            T::text_mut(handle).pop();
        }
    }
    // Not by the accessors, lest it always counts as read before it is written.
    Seen::Value(Some(handle.value()))
}

fn keys<T: Kind>(tx: &Tx, bounds: Bounds) -> Result<Seen> {
    let keys = tx.keys::<T>(range_of::<T>(bounds)).map(|key| key.map(|key| number_of::<T>(&key)));
    Ok(Seen::Keys(keys.collect::<Result<_>>()?))
}

fn range<T: Kind>(tx: &Tx, bounds: Bounds, take: Option<u8>) -> Result<Seen> {
    let entries = tx.range::<T>(range_of::<T>(bounds)).take(take.map_or(usize::MAX, usize::from));
    let entries = entries.map(|entry| entry.map(|(key, object)| (number_of::<T>(&key), object.value())));
    Ok(Seen::Entries(entries.collect::<Result<_>>()?))
}

fn range_of<T: Kind>(Bounds { from, to }: Bounds) -> (std::ops::Bound<T::Key>, std::ops::Bound<T::Key>) {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let to = match to {
        None => Unbounded,
        Some((to, true)) => Included(T::key(to)),
        Some((to, false)) => Excluded(T::key(to)),
    };
    (from.map_or(Unbounded, |from| Included(T::key(from))), to)
}
