//! Keys: which types can be one, what callers may pass for one, and their order-preserving encoding.
//!
//! The encoding is the FoundationDB tuple layer's (its specification is `design/tuple.md` of that project): the bytes of two
//! keys compare as the keys do, and can be read back without the program's types. A record key is the tuple of the type's
//! stored name and, unless the type is a singleton, the object's key.

use std::borrow::Cow;
use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::sync::Arc;

use foundationdb_tuple::{TupleDepth, TuplePack, TupleUnpack, VersionstampOffset, pack, unpack};

use crate::engine::{KeyRange, RecordKey};
use crate::error::{Error, ErrorKind, Result};
use crate::persistent::{Persistent, stored_name};
use crate::schema::TypeInfo;
use crate::transaction::Attempt;

/// A type of keys: text, integers, `uuid::Uuid` (feature `uuid`), and tuples of these. In the store they are sorted as their
/// [`Ord`] sorts them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a persistent struct",
    label = "not a type of keys",
    note = "a key is a `String`, an integer, a `uuid::Uuid` (with the feature `uuid`), or a tuple of these: `#[persistent(key = (String, u64))]`"
)]
pub trait Key: Clone + Ord + Debug + Sized + 'static + sealed::Sealed {
    #[doc(hidden)]
    type Packed: TuplePack + for<'a> TupleUnpack<'a>;
    #[doc(hidden)]
    fn into_packed(self) -> Self::Packed;
    #[doc(hidden)]
    fn from_packed(packed: Self::Packed) -> Option<Self>;
    /// The name that the store remembers the key's type by.
    #[doc(hidden)]
    fn type_name() -> String;
}

mod sealed {
    pub trait Sealed {}
}

/// What a caller may pass for a key of type `K`: the key itself, a reference to it, and for text anything that is text.
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be used as a key of type `{K}`", label = "expected a `{K}`")]
pub trait IntoKey<K> {
    /// The key.
    fn into_key(self) -> K;
}

macro_rules! plain_key {
    ($($key:ty as $packed:ty, $name:literal;)*) => {$(
        impl sealed::Sealed for $key {}
        impl Key for $key {
            type Packed = $packed;
            fn into_packed(self) -> $packed { self.into() }
            fn from_packed(packed: $packed) -> Option<Self> { packed.try_into().ok() }
            fn type_name() -> String { $name.to_owned() }
        }
        impl IntoKey<$key> for $key { fn into_key(self) -> $key { self } }
        impl IntoKey<$key> for &$key { fn into_key(self) -> $key { self.clone() } }
    )*};
}

plain_key! {
    String as String, "text";
    u8 as u16, "u8"; u16 as u16, "u16"; u32 as u32, "u32"; u64 as u64, "u64";
    i8 as i16, "i8"; i16 as i16, "i16"; i32 as i32, "i32"; i64 as i64, "i64";
    // Stored alike on every machine: the encoding of a number does not depend on its width.
    usize as usize, "u64"; isize as isize, "i64"; u128 as u128, "u128"; i128 as i128, "i128";
}
#[cfg(feature = "uuid")]
plain_key! { uuid::Uuid as uuid::Uuid, "uuid"; }

impl IntoKey<String> for &str {
    fn into_key(self) -> String {
        self.to_owned()
    }
}
impl IntoKey<String> for &&str {
    fn into_key(self) -> String {
        (*self).to_owned()
    }
}
impl IntoKey<String> for &mut String {
    fn into_key(self) -> String {
        self.clone()
    }
}
impl IntoKey<String> for Cow<'_, str> {
    fn into_key(self) -> String {
        self.into_owned()
    }
}
impl IntoKey<String> for &Cow<'_, str> {
    fn into_key(self) -> String {
        self.clone().into_owned()
    }
}
impl IntoKey<String> for Box<str> {
    fn into_key(self) -> String {
        self.into()
    }
}
impl IntoKey<String> for Arc<str> {
    fn into_key(self) -> String {
        (*self).to_owned()
    }
}
impl IntoKey<String> for &Arc<str> {
    fn into_key(self) -> String {
        (**self).to_owned()
    }
}
impl IntoKey<String> for char {
    fn into_key(self) -> String {
        self.to_string()
    }
}

/// The key of a singleton: none.
impl sealed::Sealed for () {}
impl Key for () {
    type Packed = ();
    fn into_packed(self) {}
    fn from_packed((): ()) -> Option<Self> {
        Some(())
    }
    fn type_name() -> String {
        "none".to_owned()
    }
}
impl IntoKey<()> for () {
    fn into_key(self) {}
}

macro_rules! tuple_key {
    ($($key:ident $into:ident $n:tt),+) => {
        impl<$($key: Key),+> sealed::Sealed for ($($key,)+) {}
        impl<$($key: Key),+> Key for ($($key,)+) {
            type Packed = ($($key::Packed,)+);
            fn into_packed(self) -> Self::Packed { ($(self.$n.into_packed(),)+) }
            fn from_packed(packed: Self::Packed) -> Option<Self> { Some(($($key::from_packed(packed.$n)?,)+)) }
            fn type_name() -> String { format!("({})", [$($key::type_name()),+].join(", ")) }
        }
        impl<$($key, $into: IntoKey<$key>),+> IntoKey<($($key,)+)> for ($($into,)+) {
            fn into_key(self) -> ($($key,)+) { ($(self.$n.into_key(),)+) }
        }
        impl<$($key: Key),+> IntoKey<($($key,)+)> for &($($key,)+) {
            fn into_key(self) -> ($($key,)+) { self.clone() }
        }
    };
}
tuple_key!(A IA 0);
tuple_key!(A IA 0, B IB 1);
tuple_key!(A IA 0, B IB 1, C IC 2);
tuple_key!(A IA 0, B IB 1, C IC 2, D ID 3);
tuple_key!(A IA 0, B IB 1, C IC 2, D ID 3, E IE 4);
tuple_key!(A IA 0, B IB 1, C IC 2, D ID 3, E IE 4, F IF 5);

/// What a caller may pass for the object of type `T` that a transactional function works on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key of `{T}`",
    label = "not a key of `{T}`",
    note = "pass a key of the type that `#[persistent(key = …)]` names, text unless it says otherwise; `()` for a singleton"
)]
pub trait KeyFor<T> {
    #[doc(hidden)]
    fn object_key(self) -> ObjectKey<T>;
}

#[diagnostic::do_not_recommend]
impl<T: Persistent, Q: IntoKey<T::Key>> KeyFor<T> for Q {
    fn object_key(self) -> ObjectKey<T> {
        ObjectKey::new(self.into_key())
    }
}

/// Keys of up to so many bytes are encoded without an allocation.
const SHORT: usize = 64;

/// What every record key of `T` begins with: the tuple of its stored name alone. The compiler makes it, as the tuple layer would, of
/// names that are short and plain; of others there are no bytes.
struct Name<T>(PhantomData<T>);

impl<T: Persistent> Name<T> {
    const ENCODED: ([u8; SHORT / 2], usize) = if T::GENERIC { ([0; SHORT / 2], 0) } else { encode_name(T::NAME) };
}

const fn encode_name(name: &str) -> ([u8; SHORT / 2], usize) {
    /// Begins a text; a zero ends it.
    const TEXT: u8 = 2;
    let (name, mut encoded) = (name.as_bytes(), [0; SHORT / 2]);
    if name.len() + 2 > encoded.len() {
        return (encoded, 0);
    }
    encoded[0] = TEXT;
    let mut at = 0;
    while at < name.len() {
        if name[at] == 0 {
            return (encoded, 0);
        }
        encoded[at + 1] = name[at];
        at += 1;
    }
    (encoded, name.len() + 2)
}

/// The tuple of an encoded name and a key.
struct Named<'a, K> {
    name: &'a [u8],
    key: K,
}

impl<K: TuplePack> TuplePack for Named<'_, K> {
    fn pack<W: io::Write>(&self, out: &mut W, depth: TupleDepth) -> io::Result<VersionstampOffset> {
        out.write_all(self.name)?;
        self.key.pack(out, depth.increment())
    }
}

/// Names one object: a type and a key, encoded.
#[derive(Debug)]
pub struct ObjectKey<T> {
    untyped: UntypedKey,
    object: PhantomData<fn() -> T>,
}

/// The same of any type, for functions that are compiled once, and not for each type.
#[derive(Debug)]
pub(crate) struct UntypedKey {
    record_key: RecordKey,
    /// A function of `T: Persistent`, as a pointer: where `T` is not, a bound here would be reported a second time.
    info: fn(&Attempt) -> Result<&'static TypeInfo>,
}

impl UntypedKey {
    /// What a transaction knows of the type.
    pub(crate) fn info(&self, attempt: &Attempt) -> Result<&'static TypeInfo> {
        (self.info)(attempt)
    }

    pub(crate) fn record_key(&self) -> &RecordKey {
        &self.record_key
    }
}

impl<T> ObjectKey<T> {
    pub(crate) fn untyped(&self) -> &UntypedKey {
        &self.untyped
    }

    pub(crate) fn record_key(&self) -> &RecordKey {
        &self.untyped.record_key
    }
}

impl<T: Persistent> ObjectKey<T> {
    pub(crate) fn new(key: T::Key) -> Self {
        if T::SINGLETON {
            return Self::singleton();
        }
        let (name, length) = &Name::<T>::ENCODED;
        Self::of_record_key(match &name[..*length] {
            [] => encode_key(&(&*stored_name::<T>(), key.into_packed())),
            name => encode_key(&Named { name, key: key.into_packed() }),
        })
    }

    /// The only object of a singleton.
    pub(crate) fn singleton() -> Self {
        Self::of_record_key(encode_key(&(&*stored_name::<T>(),)))
    }

    pub(crate) fn of_record_key(record_key: RecordKey) -> Self {
        Self { untyped: UntypedKey { record_key, info: Attempt::info::<T> }, object: PhantomData }
    }
}

fn encode_key(tuple: &impl TuplePack) -> RecordKey {
    let mut buffer = [0; SHORT];
    let mut rest = &mut buffer[..];
    let fits = tuple.pack_root(&mut rest).is_ok();
    let left = rest.len();
    if fits { RecordKey::new(&buffer[..SHORT - left]) } else { RecordKey::new(pack(tuple)) }
}

/// Reads the key back from a record key of `T`; `None` where the bytes are not one.
pub(crate) fn decode_key<T: Persistent>(record_key: &[u8]) -> Option<T::Key> {
    decode_key_of(&stored_name::<T>(), record_key)
}

fn decode_key_of<K: Key>(stored_name: &str, record_key: &[u8]) -> Option<K> {
    let (name, packed) = unpack::<(Cow<'_, str>, K::Packed)>(record_key).ok()?;
    (name == stored_name).then(|| K::from_packed(packed)).flatten()
}

/// As [`decode_key`], also of a singleton, whose key is `()`; an error where the bytes are no key.
pub(crate) fn found_key<T: Persistent>(record_key: &[u8]) -> Result<T::Key> {
    let key = match T::SINGLETON {
        true => unpack(&pack(&())).ok().and_then(T::Key::from_packed),
        false => decode_key::<T>(record_key),
    };
    key.ok_or_else(|| {
        let message = format!("the store has a damaged key of {}: {}", T::NAME, record_key.escape_ascii());
        Error::new(ErrorKind::Corrupt, message)
    })
}

/// The object as messages name it: `Account "alice"`, `Line ("alice", 7)`, `Settings`.
pub(crate) fn describe<T: Persistent>(record_key: &[u8]) -> String {
    if T::SINGLETON { stored_name::<T>().into_owned() } else { describe_named::<T::Key>(&stored_name::<T>(), record_key) }
}

fn describe_named<K: Key>(name: &str, record_key: &[u8]) -> String {
    match decode_key_of::<K>(name, record_key) {
        Some(key) => format!("{name} {key:?}"),
        None => format!("{name} with the damaged key {}", record_key.escape_ascii()),
    }
}

/// A range of keys, as `..`, `"a".."b"`, `10..=20` and the like.
pub trait IntoRange<K> {
    #[doc(hidden)]
    fn into_bounds(self) -> (Bound<K>, Bound<K>);
}

impl<K> IntoRange<K> for RangeFull {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}
impl<K, Q: IntoKey<K>> IntoRange<K> for Range<Q> {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        (Bound::Included(self.start.into_key()), Bound::Excluded(self.end.into_key()))
    }
}
impl<K, Q: IntoKey<K>> IntoRange<K> for RangeInclusive<Q> {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        let (start, end) = self.into_inner();
        (Bound::Included(start.into_key()), Bound::Included(end.into_key()))
    }
}
impl<K, Q: IntoKey<K>> IntoRange<K> for RangeFrom<Q> {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        (Bound::Included(self.start.into_key()), Bound::Unbounded)
    }
}
impl<K, Q: IntoKey<K>> IntoRange<K> for RangeTo<Q> {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        (Bound::Unbounded, Bound::Excluded(self.end.into_key()))
    }
}
impl<K, Q: IntoKey<K>> IntoRange<K> for RangeToInclusive<Q> {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        (Bound::Unbounded, Bound::Included(self.end.into_key()))
    }
}
impl<K, Q: IntoKey<K>> IntoRange<K> for (Bound<Q>, Bound<Q>) {
    fn into_bounds(self) -> (Bound<K>, Bound<K>) {
        (self.0.map(IntoKey::into_key), self.1.map(IntoKey::into_key))
    }
}

/// The record keys of all objects of `T` in `range`.
pub(crate) fn key_range<T: Persistent>(range: impl IntoRange<T::Key>) -> KeyRange {
    let name = pack(&(&*stored_name::<T>(),));
    // No element of a tuple begins with 0xff, so this sorts after all keys of the type.
    let after_all = [&*name, &[0xff]].concat();
    let at = |key: &T::Key| ObjectKey::<T>::new(key.clone()).record_key().to_vec();
    let after = |key: &T::Key| [&*at(key), &[0]].concat();
    let (start, end) = range.into_bounds();
    let start = match start {
        Bound::Unbounded => name,
        Bound::Included(key) => at(&key),
        Bound::Excluded(key) => after(&key),
    };
    let end = match end {
        Bound::Unbounded => after_all,
        Bound::Included(key) => after(&key),
        Bound::Excluded(key) => at(&key),
    };
    KeyRange { start: RecordKey::new(start), end: RecordKey::new(end) }
}

/// Where the schema of the type with this stored name is kept: apart from all objects, whose keys begin with text.
pub(crate) fn schema_key(stored_name: &str) -> RecordKey {
    RecordKey::new(pack(&(&b"schema"[..], stored_name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorts_as_ord<K: Key>(mut keys: Vec<K>) {
        keys.sort();
        let packed: Vec<Vec<u8>> = keys.iter().map(|key| pack(&("T", key.clone().into_packed()))).collect();
        assert!(packed.is_sorted(), "{} keys do not sort as their Ord", K::type_name());
        for (key, bytes) in keys.iter().zip(&packed) {
            let (_, back) = unpack::<(Cow<'_, str>, K::Packed)>(bytes).expect("unpacks");
            assert_eq!(K::from_packed(back).as_ref(), Some(key));
        }
    }

    #[test]
    fn names_are_encoded_as_the_tuple_layer_does() {
        for name in ["Account", "visits", "Füße", "", &"n".repeat(SHORT / 2 - 2)] {
            let (encoded, length) = encode_name(name);
            assert_eq!(encoded[..length], pack(&(name,)), "{name}");
            let named = Named { name: &encoded[..length], key: ("a", 7_u64) };
            assert_eq!(pack(&named), pack(&(name, ("a", 7_u64))));
        }
        for name in ["a\0b", &"n".repeat(SHORT / 2 - 1)] {
            assert_eq!(encode_name(name).1, 0, "{name}");
        }
    }

    #[test]
    fn keys_of_every_type_sort_in_the_store_as_in_rust() {
        sorts_as_ord(
            ["", "a", "a\0", "a\0b", "ab", "b", "\u{0}", "\u{ff}", "é", "日本", "\u{10ffff}"].map(str::to_owned).to_vec(),
        );
        sorts_as_ord(vec![u8::MIN, 1, 127, 128, u8::MAX]);
        sorts_as_ord(vec![i8::MIN, -1, 0, 1, i8::MAX]);
        sorts_as_ord(vec![u16::MIN, 1, 255, 256, u16::MAX]);
        sorts_as_ord(vec![i16::MIN, -256, -255, -1, 0, 1, i16::MAX]);
        sorts_as_ord(vec![u32::MIN, 1, 65535, 65536, u32::MAX]);
        sorts_as_ord(vec![i32::MIN, -65536, -1, 0, 1, i32::MAX]);
        sorts_as_ord(vec![u64::MIN, 1, 1 << 40, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX]);
        sorts_as_ord(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX]);
        sorts_as_ord(vec![u128::MIN, 1, u64::MAX as u128 + 1, u128::MAX]);
        sorts_as_ord(vec![i128::MIN, i64::MIN as i128 - 1, -1, 0, 1, i128::MAX]);
        sorts_as_ord(vec![usize::MIN, 1, usize::MAX]);
        sorts_as_ord(vec![isize::MIN, -1, 0, isize::MAX]);
        sorts_as_ord(vec![
            ("a".to_owned(), 2u64),
            ("a".to_owned(), 10),
            ("a\0".to_owned(), 0),
            ("".to_owned(), 9),
            ("b".to_owned(), 1),
        ]);
        sorts_as_ord(vec![(1u8, "b".to_owned(), -1i64), (1, "b".to_owned(), 3), (0, "z".to_owned(), 0)]);
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn uuid_keys_sort_in_the_store_as_in_rust() {
        sorts_as_ord(vec![uuid::Uuid::nil(), uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(u128::MAX)]);
    }

    #[test]
    fn random_keys_sort_in_the_store_as_in_rust() {
        let mut random = fastrand::Rng::with_seed(7);
        sorts_as_ord((0..2000).map(|_| random.i64(..) >> random.u32(0..64)).collect());
        sorts_as_ord((0..2000).map(|_| random.u64(..) >> random.u32(0..64)).collect());
        sorts_as_ord((0..2000).map(|_| random.i128(..) >> random.u32(0..128)).collect());
        sorts_as_ord(
            (0..2000).map(|_| (0..random.usize(0..4)).map(|_| random.char('\0'..'\u{3}')).collect::<String>()).collect(),
        );
    }
}
