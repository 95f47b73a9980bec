//! Which values are nothing but what is stored of them: those of the standard library's *plain* types. A type of the user's may have
//! parts that are not stored, and so may a container of them.

use std::any::{Any, TypeId};
use std::time::Duration;

/// Does something with each of these types; what they are compared with is known to the compiler.
macro_rules! for_flat_types {
    ($do:ident) => {
        $do!(bool char u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 Duration)
    };
}

fn same<T: 'static, U: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<U>()
}

/// Whether values of `T` are nothing but what is stored of them, and equal ones are stored alike.
pub(crate) fn is_plain<T: 'static>() -> bool {
    macro_rules! is_flat {
        ($($flat:ty)*) => { $(same::<T, $flat>() || same::<T, Option<$flat>>() || same::<T, Vec<$flat>>() ||)* false };
    }
    for_flat_types!(is_flat) || same::<T, String>() || same::<T, Option<String>>() || same::<T, Vec<String>>()
}

/// How many bytes a plain value has elsewhere in memory; `None` of another one.
pub(crate) fn held_bytes<T: 'static>(value: &T) -> Option<usize> {
    if !is_plain::<T>() {
        return None;
    }
    let value: &dyn Any = value;
    macro_rules! in_flat_list {
        ($($flat:ty)*) => {
            $(
                if let Some(all) = value.downcast_ref::<Vec<$flat>>() {
                    return Some(all.capacity() * size_of::<$flat>());
                }
            )*
        };
    }
    if let Some(text) = value.downcast_ref() {
        return Some(String::capacity(text));
    }
    if let Some(text) = value.downcast_ref::<Option<String>>() {
        return Some(text.as_ref().map_or(0, String::capacity));
    }
    if let Some(all) = value.downcast_ref::<Vec<String>>() {
        return Some(all.capacity() * size_of::<String>() + all.iter().map(String::capacity).sum::<usize>());
    }
    for_flat_types!(in_flat_list);
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plain_values_hold_is_counted() {
        assert_eq!(held_bytes(&7_u64), Some(0));
        assert_eq!(held_bytes(&Some('a')), Some(0));
        assert_eq!(held_bytes(&String::with_capacity(100)), Some(100));
        assert_eq!(held_bytes(&Some(String::with_capacity(50))), Some(50));
        assert_eq!(held_bytes(&Vec::<u32>::with_capacity(10)), Some(40));
        let texts = vec![String::with_capacity(10), String::new()];
        assert_eq!(held_bytes(&texts), Some(10 + texts.capacity() * size_of::<String>()));
    }

    #[test]
    fn what_may_have_other_parts_is_not_plain() {
        struct Mine;
        assert_eq!(held_bytes(&Mine), None);
        assert_eq!(held_bytes(&Some(Mine)), None);
        assert_eq!(held_bytes(&vec![Mine]), None);
        assert_eq!(held_bytes(&Box::new(7_u64)), None);
    }
}
