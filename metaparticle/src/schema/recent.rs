//! What a thread has looked up last, so that threads which do the same all the time need not share a lock for it.

use std::cell::Cell;

/// So many are remembered: types that one function works on, and their schemas.
const REMEMBERED: usize = 8;

/// Values by their keys, the last few.
pub(super) struct Recent<K, V> {
    entries: [Cell<Option<(K, V)>>; REMEMBERED],
    next: Cell<usize>,
}

impl<K: Copy + PartialEq, V: Copy> Recent<K, V> {
    pub(super) const fn new() -> Self {
        Self { entries: [const { Cell::new(None) }; REMEMBERED], next: Cell::new(0) }
    }

    /// The value of `key`, which `find` has unless it is remembered.
    #[inline]
    pub(super) fn get<E>(&self, key: K, find: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some((_, value)) = self.entries.iter().filter_map(Cell::get).find(|(known, _)| *known == key) {
            return Ok(value);
        }
        let value = find()?;
        let next = self.next.get();
        self.entries[next].set(Some((key, value)));
        self.next.set((next + 1) % REMEMBERED);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_last_is_not_looked_up_again() {
        let recent = Recent::new();
        let found = Cell::new(0);
        let get = |key: usize| {
            let value = recent.get(key, || {
                found.set(found.get() + 1);
                Ok::<_, ()>(key * 10)
            });
            assert_eq!(value, Ok(key * 10));
        };
        (0..REMEMBERED).for_each(get);
        (0..REMEMBERED).for_each(get);
        assert_eq!(found.get(), REMEMBERED);
        (0..=REMEMBERED).for_each(get);
        assert_eq!(found.get(), REMEMBERED + 1);
        assert_eq!(recent.get(100, || Err("gone")), Err("gone"));
    }
}
