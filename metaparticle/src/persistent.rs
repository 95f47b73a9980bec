//! What the attribute `#[persistent]` implements: identity, stored fields, and the handle with accessors.

use std::borrow::Cow;
use std::ops::DerefMut;

use crate::Result;
use crate::encoding::{FieldReader, FieldWriter};
use crate::key::Key;
use crate::object::Tracked;
use crate::shape::Shape;
use crate::sharing::Sharing;

/// A struct whose values are objects of a store. Implemented by the attribute [`#[persistent]`](macro@crate::persistent) only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not persistent, so a transaction cannot work on it",
    label = "not a `#[persistent]` struct",
    note = "mark the struct with `#[persistent]`; what is not persistent is passed by value or as `&T`, because the body may run more than once and a change made through `&mut` could not be taken back"
)]
pub trait Persistent: Sized + 'static {
    /// What identifies an object among those of its type.
    type Key: Key;
    /// The handle that [`Mut`](crate::Mut) stands for.
    type Mut<'tx>: Handle<'tx, Object = Self>;
    /// The stored name, without type arguments.
    #[doc(hidden)]
    const NAME: &'static str;
    /// Whether it has type or const parameters, which then are part of the stored name.
    #[doc(hidden)]
    const GENERIC: bool;
    /// Whether there is only one object of it, without a key.
    #[doc(hidden)]
    const SINGLETON: bool;
    /// The stored fields, in the struct's order.
    #[doc(hidden)]
    const FIELDS: &'static [Field];
    /// The structs that it was before.
    #[doc(hidden)]
    const OLD: &'static [fn() -> OldStruct];
    #[doc(hidden)]
    fn encode(&self, out: &mut FieldWriter) -> Result<()>;
    #[doc(hidden)]
    fn decode(fields: &mut FieldReader<'_>) -> Result<Self>;
    /// What stands for an object that is not in the store; `None` when that is an error.
    #[doc(hidden)]
    fn absent() -> Option<Self>;
    /// How decoded objects are shared between transactions, if they can be.
    #[doc(hidden)]
    fn sharing() -> Option<Sharing<Self>> {
        None
    }
}

/// A persistent struct of which there is one object, without a key: `#[persistent(singleton)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a singleton",
    label = "not a singleton",
    note = "either mark the struct with `#[persistent(singleton)]`, or remove `#[singleton]` from the parameter, so that the caller passes a key"
)]
pub trait Singleton: Persistent {}

/// A generated handle: an object in a transaction that knows which of its fields were read and written.
pub trait Handle<'tx>: DerefMut<Target = Self::Object> {
    /// The struct that it stands for.
    type Object: 'static;
    #[doc(hidden)]
    fn new(tracked: Tracked<'tx, Self::Object>) -> Self;
}

/// A stored field: its name, the names that it had, and what its bytes mean.
#[derive(Debug)]
pub struct Field {
    name: &'static str,
    aliases: &'static [&'static str],
    shape: fn() -> Shape,
    default: bool,
    old: &'static [fn() -> Shape],
}

impl Field {
    /// A field with its stored name, earlier ones, and its shape.
    pub const fn new(name: &'static str, aliases: &'static [&'static str], shape: fn() -> Shape) -> Self {
        Self { name, aliases, shape, default: false, old: &[] }
    }

    /// The same, made up where a record does not have it.
    pub const fn or_default(self) -> Self {
        Self { default: true, ..self }
    }

    /// The same, which had these shapes before.
    pub const fn from_old(self, old: &'static [fn() -> Shape]) -> Self {
        Self { old, ..self }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn shape(&self) -> Shape {
        (self.shape)()
    }

    pub(crate) fn has_default(&self) -> bool {
        self.default
    }

    pub(crate) fn old(&self) -> &'static [fn() -> Shape] {
        self.old
    }

    /// Whether a stored field of this name is this field.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// A struct that another one was before.
#[derive(Debug, Default)]
pub struct OldStruct {
    pub(crate) fields: &'static [Field],
    pub(crate) old: &'static [fn() -> OldStruct],
}

/// The name that a type is stored under: the struct's own or the one it was given, and for a generic struct its arguments,
/// such as `Page<String>`.
pub(crate) fn stored_name<T: Persistent>() -> Cow<'static, str> {
    if !T::GENERIC {
        return Cow::Borrowed(T::NAME);
    }
    let full = std::any::type_name::<T>();
    let arguments = full.find('<').map_or("", |start| &full[start..]);
    Cow::Owned(format!("{}{}", T::NAME, without_paths(arguments)))
}

/// `<alloc::string::String, u8>` as `<String, u8>`: moving a type to another module must not lose its objects.
fn without_paths(name: &str) -> String {
    let mut out = String::new();
    let mut segment = String::new();
    for char in name.chars() {
        match char {
            ':' => segment.clear(),
            char if char.is_alphanumeric() || char == '_' => segment.push(char),
            other => {
                out.push_str(&segment);
                segment.clear();
                out.push(other);
            }
        }
    }
    out + &segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_arguments_are_named_without_their_paths() {
        assert_eq!(without_paths("<alloc::string::String, [u8; 4], a::B<c::D>>"), "<String, [u8; 4], B<D>>");
    }
}
