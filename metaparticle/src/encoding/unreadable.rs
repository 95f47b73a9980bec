//! What serde's attributes make a type write and not read back: the bytes have no names, so that they may be read as another value
//! without an error.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::ser::{self, Serialize, Serializer};

/// Which variants of enums a value has in it, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variants {
    count: u64,
    /// Of hashes of their names.
    sum: u64,
}

/// The variants in `value`; an error if it leaves out fields.
pub(super) fn variants(value: &impl Serialize) -> Result<Variants, Unreadable> {
    let mut variants = Variants::default();
    value.serialize(Look(&mut variants))?;
    Ok(variants)
}

/// Why a value cannot be read back.
#[derive(Debug)]
pub(super) struct Unreadable(String);

impl Unreadable {
    pub(super) fn another_variant() -> Self {
        Self("a variant of an enum would be read as another one".to_owned())
    }

    fn left_out(field: &str) -> Self {
        Self(format!("its `{field}` is left out"))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl ser::Error for Unreadable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Writes nothing, and looks at all.
struct Look<'a>(&'a mut Variants);

impl Look<'_> {
    fn meet(self, name: &str, variant: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (name, variant).hash(&mut hasher);
        self.0.count += 1;
        self.0.sum = self.0.sum.wrapping_add(hasher.finish());
        self
    }

    fn again(&mut self) -> Look<'_> {
        Look(self.0)
    }
}

type Done = Result<(), Unreadable>;

macro_rules! nothing_in {
    ($($method:ident($($of:ty),*);)*) => {
        $(fn $method(self, $(_: $of),*) -> Done { Ok(()) })*
    };
}

impl Serializer for Look<'_> {
    type Ok = ();
    type Error = Unreadable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    nothing_in! {
        serialize_bool(bool); serialize_char(char); serialize_str(&str); serialize_bytes(&[u8]);
        serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64); serialize_i128(i128);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_u128(u128);
        serialize_f32(f32); serialize_f64(f64);
        serialize_none(); serialize_unit(); serialize_unit_struct(&'static str);
    }

    fn collect_str<T: ?Sized + fmt::Display>(self, _: &T) -> Done {
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Done {
        self.meet(name, variant);
        Ok(())
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        value.serialize(self.meet(name, variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, name: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Unreadable> {
        Ok(self.meet(name, variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_struct_variant(self, name: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Unreadable> {
        Ok(self.meet(name, variant))
    }

    /// As bincode has it.
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! look_at_each {
    ($($of:ident $method:ident;)*) => {$(
        impl ser::$of for Look<'_> {
            type Ok = ();
            type Error = Unreadable;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
                value.serialize(self.again())
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

look_at_each! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl ser::SerializeMap for Look<'_> {
    type Ok = ();
    type Error = Unreadable;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Done {
        key.serialize(self.again())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
        value.serialize(self.again())
    }

    fn end(self) -> Done {
        Ok(())
    }
}

macro_rules! look_at_fields {
    ($($of:ident;)*) => {$(
        impl ser::$of for Look<'_> {
            type Ok = ();
            type Error = Unreadable;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, _: &'static str, value: &T) -> Done {
                value.serialize(self.again())
            }

            fn skip_field(&mut self, field: &'static str) -> Done {
                Err(Unreadable::left_out(field))
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

look_at_fields! {
    SerializeStruct;
    SerializeStructVariant;
}
