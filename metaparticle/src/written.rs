//! What a value writes, apart from bytes: the variants that it has in it, and the names of their fields and of its own.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use bincode::error::DecodeError;
use serde::ser::{self, Serialize, Serializer};

/// Is told what a value writes.
pub(crate) trait Notes {
    /// A variant of an enum.
    fn variant(&mut self, of: &'static str, index: u32, variant: &'static str);
    /// All fields of a struct, or of a variant, that have names.
    fn fields(&mut self, of: &'static str, variant: Option<&'static str>, fields: &[&'static str]);
    /// How many fields a struct or a variant has that have no names.
    fn unnamed(&mut self, _of: &'static str, _count: usize) {}
}

/// Tells `notes` what `value` writes; an error if it leaves out fields.
pub(crate) fn look_at(value: &impl Serialize, notes: &mut dyn Notes) -> Result<(), Unreadable> {
    value.serialize(Look { notes })
}

/// Which variants of enums a value has in it, and how many fields its structs write, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    count: u64,
    /// Of hashes of what they are.
    sum: u64,
}

impl Parts {
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, Unreadable> {
        let mut parts = Self::default();
        look_at(value, &mut parts)?;
        Ok(parts)
    }

    /// Whether a value with these parts was read back as one with those parts.
    pub(crate) fn read_as(self, read: Self) -> Result<(), Unreadable> {
        let wrong = "a variant of an enum would be read as another one, or a field as the one after it";
        if self == read { Ok(()) } else { Err(Unreadable(wrong.to_owned())) }
    }

    fn add(&mut self, part: impl Hash) {
        let mut hasher = DefaultHasher::new();
        part.hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

impl Notes for Parts {
    fn variant(&mut self, of: &'static str, _: u32, variant: &'static str) {
        self.add((of, variant));
    }

    fn fields(&mut self, of: &'static str, _: Option<&'static str>, fields: &[&'static str]) {
        self.add((of, fields.len()));
    }

    fn unnamed(&mut self, of: &'static str, count: usize) {
        self.add((of, count));
    }
}

/// Why a value cannot be read back: the bytes have no names, so that they may be read as another one without an error.
#[derive(Debug)]
pub(crate) struct Unreadable(String);

impl Unreadable {
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

impl From<Unreadable> for DecodeError {
    fn from(unreadable: Unreadable) -> Self {
        Self::OtherString(unreadable.0)
    }
}

impl ser::Error for Unreadable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Done = Result<(), Unreadable>;

/// Writes nothing, and looks at all.
struct Look<'a> {
    notes: &'a mut dyn Notes,
}

impl<'a> Look<'a> {
    fn again(&mut self) -> Look<'_> {
        Look { notes: self.notes }
    }

    fn meet(self, of: &'static str, index: u32, variant: &'static str) -> Self {
        self.notes.variant(of, index, variant);
        self
    }

    fn at_fields(self, of: &'static str, variant: Option<&'static str>, count: usize) -> LookAtFields<'a> {
        LookAtFields { look: self, of, variant, fields: Vec::with_capacity(count) }
    }
}

struct LookAtFields<'a> {
    look: Look<'a>,
    of: &'static str,
    variant: Option<&'static str>,
    fields: Vec<&'static str>,
}

impl LookAtFields<'_> {
    fn field<T: ?Sized + Serialize>(&mut self, field: &'static str, value: &T) -> Done {
        self.fields.push(field);
        value.serialize(self.look.again())
    }

    fn end(self) {
        self.look.notes.fields(self.of, self.variant, &self.fields);
    }
}

macro_rules! nothing_in {
    ($($method:ident($($of:ty),*);)*) => {
        $(fn $method(self, $(_: $of),*) -> Done { Ok(()) })*
    };
}

impl<'a> Serializer for Look<'a> {
    type Ok = ();
    type Error = Unreadable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = LookAtFields<'a>;
    type SerializeStructVariant = LookAtFields<'a>;

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

    fn serialize_unit_variant(self, of: &'static str, index: u32, variant: &'static str) -> Done {
        self.meet(of, index, variant);
        Ok(())
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        value.serialize(self.meet(of, index, variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, of: &'static str, count: usize) -> Result<Self, Unreadable> {
        self.notes.unnamed(of, count);
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        count: usize,
    ) -> Result<Self, Unreadable> {
        self.notes.unnamed(of, count);
        Ok(self.meet(of, index, variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_struct(self, of: &'static str, count: usize) -> Result<LookAtFields<'a>, Unreadable> {
        Ok(self.at_fields(of, None, count))
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        count: usize,
    ) -> Result<LookAtFields<'a>, Unreadable> {
        Ok(self.meet(of, index, variant).at_fields(of, Some(variant), count))
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
    ($($trait:ident;)*) => {$(
        impl ser::$trait for LookAtFields<'_> {
            type Ok = ();
            type Error = Unreadable;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, field: &'static str, value: &T) -> Done {
                self.field(field, value)
            }

            fn skip_field(&mut self, field: &'static str) -> Done {
                Err(Unreadable::left_out(field))
            }

            fn end(self) -> Done {
                LookAtFields::end(self);
                Ok(())
            }
        }
    )*};
}

look_at_fields! {
    SerializeStruct;
    SerializeStructVariant;
}
