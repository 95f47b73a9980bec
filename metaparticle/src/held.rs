//! Which values are nothing but what is stored of them: those of the standard library's *plain* types. A type of the user's may have
//! parts that are not stored, and so may a container of them.

use std::any::{Any, TypeId};
use std::time::Duration;

/// Does something with each of these types.
macro_rules! for_flat_types {
    ($do:ident) => {
        $do!(bool char u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 Duration)
    };
}

fn is<T: 'static>(id: TypeId) -> bool {
    id == TypeId::of::<T>()
}

/// Whether values of this type are nothing but what is stored of them, and equal ones are stored alike.
///
/// It is not generic, nor is `held_bytes`: that would be compiled for each type of a program. Where speed matters, it is inlined to
/// where the type is known, and nothing is left of the comparisons.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_plain(id: TypeId) -> bool {
    macro_rules! is_flat {
        ($($flat:ty)*) => { $(is::<$flat>(id) || is::<Option<$flat>>(id) || is::<Vec<$flat>>(id) ||)* false };
    }
    for_flat_types!(is_flat) || is::<String>(id) || is::<Option<String>>(id) || is::<Vec<String>>(id)
}

/// How many bytes a plain value, whose type is `id`, has elsewhere in memory; `None` of another one.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn held_bytes(id: TypeId, value: &dyn Any) -> Option<usize> {
    macro_rules! in_flat_list {
        ($($flat:ty)*) => {
            $(
                if is::<Vec<$flat>>(id) {
                    return value.downcast_ref().map(|all: &Vec<$flat>| all.capacity() * size_of::<$flat>());
                }
            )*
        };
    }
    for_flat_types!(in_flat_list);
    if is::<String>(id) {
        value.downcast_ref().map(String::capacity)
    } else if is::<Option<String>>(id) {
        value.downcast_ref().map(|text: &Option<String>| text.as_ref().map_or(0, String::capacity))
    } else if is::<Vec<String>>(id) {
        let of_all = |all: &Vec<String>| all.capacity() * size_of::<String>() + all.iter().map(String::capacity).sum::<usize>();
        value.downcast_ref().map(of_all)
    } else {
        is_plain(id).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held<T: 'static>(value: &T) -> Option<usize> {
        held_bytes(TypeId::of::<T>(), value)
    }

    #[test]
    fn what_plain_values_hold_is_counted() {
        assert_eq!(held(&7_u64), Some(0));
        assert_eq!(held(&Some('a')), Some(0));
        assert_eq!(held(&String::with_capacity(100)), Some(100));
        assert_eq!(held(&Some(String::with_capacity(50))), Some(50));
        assert_eq!(held(&Vec::<u32>::with_capacity(10)), Some(40));
        let texts = vec![String::with_capacity(10), String::new()];
        assert_eq!(held(&texts), Some(10 + texts.capacity() * size_of::<String>()));
    }

    #[test]
    fn what_may_have_other_parts_is_not_plain() {
        struct Mine;
        assert_eq!(held(&Mine), None);
        assert_eq!(held(&Some(Mine)), None);
        assert_eq!(held(&vec![Mine]), None);
        assert_eq!(held(&Box::new(7_u64)), None);
    }
}
