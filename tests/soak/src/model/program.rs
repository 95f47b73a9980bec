//! Random programs: what there is to do with a store.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// How many objects of each type there can be.
pub(super) const KEYS: u8 = 6;

/// What one step of a program is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Transaction(Transaction),
    /// The program ends, and starts again, perhaps as a newer or older version.
    Reopen(Version),
}

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) ops: Vec<Op>,
    pub(super) end: End,
    pub(super) read_only: bool,
    pub(super) in_future: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeed,
    Fail,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// No default.
    Plain,
    Defaulted,
    /// With a key of two parts.
    Pair,
    Single,
    /// The one that has versions.
    User,
}

/// Versions of a program. The first two read each other's objects; each of the others reads those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    First,
    WithField,
    Renamed,
    Migrated,
}

impl Version {
    /// Whether a program may be started as `next` after this one.
    pub(super) fn precedes(self, next: Self) -> bool {
        next >= self || self == Self::WithField
    }
}

/// What is done to an object, or to several.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Get(Type, u8),
    GetOption(Type, u8),
    Contains(Type, u8),
    Insert(Type, u8, Value),
    Remove(Type, u8),
    /// By a handle.
    Change(Type, u8, Change),
    /// The same, if it is there.
    ChangeOption(Type, u8, Change),
    /// By a nested function with a parameter.
    Call(Type, u8, Call, u64),
    /// Their numbers, with both in hand.
    Swap(Type, u8, u8),
    /// Something with an object that is in hand already.
    WhileHeld {
        ty: Type,
        key: u8,
        for_writing: bool,
        then: Then,
    },
    Keys(Type, Bounds),
    Range(Type, Bounds, Option<u8>),
    Nested {
        ops: Vec<Op>,
        end: End,
    },
    AfterCommit(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Value {
    pub(super) number: u64,
    pub(super) text: String,
    /// Of users only, from the second version on.
    pub(super) extra: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The handle is dropped as it came.
    Nothing,
    /// Read by its accessor.
    ReadNumber,
    /// By accessors.
    SetNumber(u64),
    AddNumber(u64),
    PushText(char),
    SetExtra(Option<String>),
    /// As a whole.
    Replace(Value),
    /// Changed, and changed back.
    AndBack,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    /// `&mut T`
    Plain,
    /// `Mut<T>`
    Tracked,
    /// `Option<Mut<T>>`
    Optional,
    /// `Ref<T>`
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Get,
    GetMut,
    Insert,
    Remove,
    Range,
}

/// From, up to, and whether the end is in it; `None`: without a bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) from: Option<u8>,
    pub(super) to: Option<(u8, bool)>,
}

fn ty() -> impl Strategy<Value = Type> {
    prop_oneof![Just(Type::Plain), Just(Type::Defaulted), Just(Type::Pair), Just(Type::Single), Just(Type::User)]
}

/// Those that have keys in an order.
fn keyed() -> impl Strategy<Value = Type> {
    prop_oneof![Just(Type::Plain), Just(Type::Defaulted), Just(Type::Pair), Just(Type::User)]
}

/// Mostly the same, so that something happens to it.
fn key() -> impl Strategy<Value = u8> {
    prop_oneof![2 => Just(0), 1 => 0..KEYS]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("a".to_owned()), Just("ä\0".to_owned()), Just("x".repeat(300))]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..4u64, 1 => 200..300u64]
}

fn value() -> impl Strategy<Value = Value> {
    (number(), text(), option::of(text())).prop_map(|(number, text, extra)| Value { number, text, extra })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Nothing),
        Just(Change::ReadNumber),
        number().prop_map(Change::SetNumber),
        number().prop_map(Change::AddNumber),
        prop_oneof![Just('a'), Just('é')].prop_map(Change::PushText),
        option::of(text()).prop_map(Change::SetExtra),
        value().prop_map(Change::Replace),
        Just(Change::AndBack),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![Just(Call::Plain), Just(Call::Tracked), Just(Call::Optional), Just(Call::Read)]
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![Just(Then::Get), Just(Then::GetMut), Just(Then::Insert), Just(Then::Remove), Just(Then::Range)]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (option::of(0..KEYS), option::of((0..KEYS, any::<bool>()))).prop_map(|(from, to)| Bounds { from, to })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![6 => Just(End::Succeed), 2 => Just(End::Fail), 1 => Just(End::Panic)]
}

fn op() -> impl Strategy<Value = Op> {
    let leaf = prop_oneof![
        2 => (ty(), key()).prop_map(|(ty, key)| Op::Get(ty, key)),
        1 => (ty(), key()).prop_map(|(ty, key)| Op::GetOption(ty, key)),
        1 => (ty(), key()).prop_map(|(ty, key)| Op::Contains(ty, key)),
        4 => (ty(), key(), value()).prop_map(|(ty, key, value)| Op::Insert(ty, key, value)),
        2 => (ty(), key()).prop_map(|(ty, key)| Op::Remove(ty, key)),
        4 => (ty(), key(), change()).prop_map(|(ty, key, change)| Op::Change(ty, key, change)),
        2 => (ty(), key(), change()).prop_map(|(ty, key, change)| Op::ChangeOption(ty, key, change)),
        3 => (ty(), key(), call(), number()).prop_map(|(ty, key, call, number)| Op::Call(ty, key, call, number)),
        1 => (keyed(), key(), key()).prop_map(|(ty, one, other)| Op::Swap(ty, one, other)),
        1 => (keyed(), key(), any::<bool>(), then())
            .prop_map(|(ty, key, for_writing, then)| Op::WhileHeld { ty, key, for_writing, then }),
        1 => (keyed(), bounds()).prop_map(|(ty, bounds)| Op::Keys(ty, bounds)),
        2 => (keyed(), bounds(), option::of(0..3u8)).prop_map(|(ty, bounds, take)| Op::Range(ty, bounds, take)),
        1 => (0..100u64).prop_map(Op::AfterCommit),
    ];
    leaf.prop_recursive(2, 8, 4, |op| (vec(op, 0..4), end()).prop_map(|(ops, end)| Op::Nested { ops, end }))
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let read_only = proptest::bool::weighted(0.1);
    let in_future = proptest::bool::weighted(0.3);
    (vec(op(), 0..7), end(), read_only, in_future).prop_map(|(ops, end, read_only, in_future)| Transaction {
        ops,
        end,
        read_only,
        in_future,
    })
}

/// A step of a program that may become a program of another version, or not.
pub(super) fn step(evolves: bool) -> BoxedStrategy<Step> {
    let transaction = transaction().prop_map(Step::Transaction);
    if !evolves {
        return prop_oneof![20 => transaction, 1 => Just(Step::Reopen(Version::First))].boxed();
    }
    let version = prop_oneof![Just(Version::First), Just(Version::WithField), Just(Version::Renamed), Just(Version::Migrated)];
    prop_oneof![3 => transaction, 1 => version.prop_map(Step::Reopen)].boxed()
}
