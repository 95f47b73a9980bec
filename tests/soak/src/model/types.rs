//! The types of the programs, each in terms of a number and a text.

use metaparticle::{Error, IntoKey, Mut, Persistent, Ref, Result, persistent, transactional};

use super::program::{KEYS, Value};

/// What a program does with a type.
pub(super) trait Kind: Persistent<Key: IntoKey<Self::Key> + PartialEq> {
    /// Keys in the order of their numbers.
    fn key(number: u8) -> Self::Key;
    fn new(value: Value) -> Self;
    fn value(&self) -> Value;
    fn number(handle: &Mut<'_, Self>) -> u64;
    fn number_mut<'a>(handle: &'a mut Mut<'_, Self>) -> &'a mut Self::Number;
    fn set_number(handle: &mut Mut<'_, Self>, number: u64);
    fn text_mut<'a>(handle: &'a mut Mut<'_, Self>) -> &'a mut String;
    fn set_extra(handle: &mut Mut<'_, Self>, extra: Option<String>);
    type Number: std::ops::AddAssign + TryFrom<u64, Error: std::fmt::Debug>;
    fn add_plain(key: Self::Key, number: u64) -> Result<u64>;
    fn add_tracked(key: Self::Key, number: u64) -> Result<u64>;
    fn add_optional(key: Self::Key, number: u64) -> Result<Option<u64>>;
    fn look(key: Self::Key) -> Result<Value>;
}

/// The number of a key.
pub(super) fn number_of<T: Kind>(key: &T::Key) -> u8 {
    (0..KEYS).find(|number| T::key(*number) == *key).expect("there are no other keys")
}

/// Texts in order, not all of them easy.
const NAMES: [&str; KEYS as usize] = ["", "\0", "\0\u{1}", "a", "a\0b", "a\u{ff}"];

fn small<N: TryFrom<u64, Error: std::fmt::Debug>>(number: u64) -> N {
    number.try_into().expect("numbers are small")
}

/// A type: its struct, how a key is made, its number's type, and the names of its fields.
macro_rules! kind {
    ($module:ident, ($key:ident) $make:expr, [$number:ident $set_number:ident $number_mut:ident: $N:ty],
        [$text:ident $text_mut:ident], [$($extra:ident $set_extra:ident)?], $(#[$singleton:ident])? { $($item:item)* }) => {
        pub(super) mod $module {
            use super::*;
            $($item)*
            impl Kind for Object {
                type Number = $N;
                fn key($key: u8) -> Self::Key { $make }
                fn new(value: Value) -> Self {
                    Self { $number: small(value.number), $text: value.text, $($extra: value.extra)? }
                }
                fn value(&self) -> Value {
                    #[allow(unused_mut, unused_assignments)]
                    let mut extra = None;
                    $(extra = self.$extra.clone();)?
                    Value { number: self.$number.into(), text: self.$text.clone(), extra }
                }
                fn number(handle: &Mut<'_, Self>) -> u64 { (*handle.$number()).into() }
                fn number_mut<'a>(handle: &'a mut Mut<'_, Self>) -> &'a mut $N { handle.$number_mut() }
                fn set_number(handle: &mut Mut<'_, Self>, number: u64) { handle.$set_number(small(number)) }
                fn text_mut<'a>(handle: &'a mut Mut<'_, Self>) -> &'a mut String { handle.$text_mut() }
                #[allow(unused_variables)]
                fn set_extra(handle: &mut Mut<'_, Self>, extra: Option<String>) { $(handle.$set_extra(extra))? }
                fn add_plain(key: Self::Key, number: u64) -> Result<u64> { calls::add_plain(key, number) }
                fn add_tracked(key: Self::Key, number: u64) -> Result<u64> { calls::add_tracked(key, number) }
                fn add_optional(key: Self::Key, number: u64) -> Result<Option<u64>> { calls::add_optional(key, number) }
                fn look(key: Self::Key) -> Result<Value> { calls::look(key) }
            }
            kind! { calls $($singleton)? $number $set_number $N }
        }
    };
    (calls $number:ident $set_number:ident $N:ty) => {
        mod calls {
            use super::*;
            #[transactional]
            pub(super) fn add_plain(object: &mut Object, number: u64) -> Result<u64, Error> {
                object.$number += small::<$N>(number);
                Ok(object.$number.into())
            }
            #[transactional]
            pub(super) fn add_tracked(object: Mut<Object>, number: u64) -> Result<u64, Error> {
                let sum = *object.$number() + small::<$N>(number);
                object.$set_number(sum);
                Ok((*object.$number()).into())
            }
            #[transactional]
            pub(super) fn add_optional(object: Option<Mut<Object>>, number: u64) -> Result<Option<u64>, Error> {
                Ok(object.map(|mut object| {
                    object.$number += small::<$N>(number);
                    object.$number.into()
                }))
            }
            #[transactional]
            pub(super) fn look(object: Ref<Object>) -> Result<Value, Error> {
                Ok(object.value())
            }
        }
    };
    (calls singleton $number:ident $set_number:ident $N:ty) => {
        mod calls {
            use super::*;
            pub(super) fn add_plain((): (), number: u64) -> Result<u64> {
                #[transactional]
                fn add(#[singleton] object: &mut Object, number: u64) -> Result<u64, Error> {
                    object.$number += small::<$N>(number);
                    Ok(object.$number.into())
                }
                add(number)
            }
            pub(super) fn add_tracked((): (), number: u64) -> Result<u64> {
                #[transactional]
                fn add(#[singleton] object: Mut<Object>, number: u64) -> Result<u64, Error> {
                    let sum = *object.$number() + small::<$N>(number);
                    object.$set_number(sum);
                    Ok((*object.$number()).into())
                }
                add(number)
            }
            pub(super) fn add_optional((): (), number: u64) -> Result<Option<u64>> {
                add_if_there(number)
            }
            #[transactional]
            fn add_if_there(tx: &metaparticle::Tx, number: u64) -> Result<Option<u64>, Error> {
                Ok(tx.get_mut::<Option<Object>>(())?.map(|mut object| {
                    object.$number += small::<$N>(number);
                    object.$number.into()
                }))
            }
            pub(super) fn look((): ()) -> Result<Value> {
                #[transactional]
                fn look(#[singleton] object: Ref<Object>) -> Result<Value, Error> {
                    Ok(object.value())
                }
                look()
            }
        }
    };
}

kind!(plain, (key) i64::from(key) - 3, [number set_number number_mut: u64], [text text_mut], [], {
    /// With keys below zero, too.
    #[persistent(name = "Plain", key = i64)]
    pub(crate) struct Object {
        number: u64,
        text: String,
    }
});

kind!(defaulted, (key) NAMES[usize::from(key)].to_owned(), [number set_number number_mut: u64], [text text_mut], [], {
    #[persistent(name = "Defaulted", default)]
    pub(crate) struct Object {
        text: String,
        number: u64,
    }
});

kind!(pair, (key) (NAMES[usize::from(key / 2)].to_owned(), key % 2), [number set_number number_mut: u64], [text text_mut], [], {
    #[persistent(name = "Pair", key = (String, u8))]
    pub(crate) struct Object {
        text: String,
        number: u64,
    }
});

kind!(single, (_key) (), [number set_number number_mut: u64], [text text_mut], [], #[singleton] {
    #[persistent(name = "Single", singleton, default)]
    pub(crate) struct Object {
        number: u64,
        text: String,
    }
});

kind!(first, (key) NAMES[usize::from(key)].to_owned(), [age set_age age_mut: u32], [name name_mut], [], {
    #[persistent(name = "User")]
    pub(crate) struct Object {
        name: String,
        age: u32,
    }
});

kind!(with_field, (key) NAMES[usize::from(key)].to_owned(), [age set_age age_mut: u32], [name name_mut], [email set_email], {
    /// Has a further field.
    #[persistent(name = "User")]
    pub(crate) struct Object {
        name: String,
        age: u32,
        #[persistent(default)]
        email: Option<String>,
    }
});

kind!(renamed, (key) NAMES[usize::from(key)].to_owned(), [age set_age age_mut: u64], [full_name full_name_mut], [email set_email], {
    /// A field has another name, another one is wider, and all are in another order.
    #[persistent(name = "User")]
    pub(crate) struct Object {
        #[persistent(default)]
        email: Option<String>,
        age: u64,
        #[persistent(alias = "name")]
        full_name: String,
    }
    impl Object {
        pub(super) fn parts(self) -> (Option<String>, u64, String) {
            (self.email, self.age, self.full_name)
        }
    }
});

kind!(migrated, (key) NAMES[usize::from(key)].to_owned(), [years set_years years_mut: u64], [label label_mut], [mail set_mail], {
    fn from_renamed(old: super::renamed::Object) -> Object {
        let (mail, years, label) = old.parts();
        Object { label, years, mail }
    }
    /// Another struct, made of the one before.
    #[persistent(name = "User", migrate = from_renamed)]
    pub(crate) struct Object {
        label: String,
        years: u64,
        mail: Option<String>,
    }
});
