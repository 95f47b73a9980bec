//! Where an attempt has the object of a key.

use std::cell::Cell;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::engine::{RecordKey, Version};

/// So few keys are looked through one by one, which is faster than hashing.
const FEW: usize = 16;

/// The places of keys in what an attempt has seen.
#[derive(Default)]
pub(super) struct Places {
    many: HashMap<RecordKey, usize, RandomState>,
    /// Where the next one is looked for first: after the last one that was found. Most are asked for in the order that they were loaded.
    next: Cell<usize>,
}

impl Places {
    #[inline]
    pub(super) fn get(&self, seen: &[(RecordKey, Option<Version>)], key: &RecordKey) -> Option<usize> {
        let next = self.next.get();
        let place = match seen.get(next) {
            Some((seen, _)) if seen == key => Some(next),
            _ if seen.len() <= FEW => seen.iter().position(|(seen, _)| seen == key),
            _ => self.many.get(key).copied(),
        };
        if let Some(place) = place {
            self.next.set(place + 1);
        }
        place
    }

    pub(super) fn clear(&mut self) {
        self.many.clear();
        self.next.set(0);
    }

    /// Takes note of the last of `seen`.
    #[inline]
    pub(super) fn add(&mut self, seen: &[(RecordKey, Option<Version>)]) {
        if seen.len() > FEW {
            self.many.extend((self.many.len()..seen.len()).map(|place| (seen[place].0.clone(), place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_keys_are_found() {
        let (mut seen, mut places) = (Vec::new(), Places::default());
        for n in 0..3 * FEW as u32 {
            assert_eq!(places.get(&seen, &RecordKey::new(n.to_be_bytes())), None);
            seen.push((RecordKey::new(n.to_be_bytes()), None));
            places.add(&seen);
            for known in 0..=n {
                assert_eq!(places.get(&seen, &RecordKey::new(known.to_be_bytes())), Some(known as usize));
            }
        }
    }
}
