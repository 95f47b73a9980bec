//! What etcd itself compares in the step that commits.
//!
//! A record is compared by its revision. A range that was looked at, at a revision, has other keys if one in it was made later, or
//! a mark of a removed record was written later. What was read and does not fit like this is compared behind the
//! [gate](super::gate).

use etcd_client::{Compare, CompareOp};

use super::keys::Keys;
use super::look::revision_of;
use crate::engine::{KeyRange, RecordKey, Seen, Version};

/// Guards of what was found current at `revision`, if there is room for so many. The revision matters to ranges only.
pub(super) fn since(keys: &Keys, seen: &Seen, revision: i64, room: usize) -> Option<Vec<Compare>> {
    let ranges = merged(seen);
    if seen.records.len() + 2 * ranges.len() > room {
        return None;
    }
    let records = seen.records.iter().map(|(key, version)| record(keys, key, *version));
    let ranges = ranges.iter().flat_map(|range| [no_insert(keys, range, revision), no_removal(keys, range, revision)]);
    Some(records.chain(ranges).collect())
}

/// One that never holds.
pub(super) fn never(keys: &Keys) -> Compare {
    Compare::create_revision(keys.format(), CompareOp::Less, 0)
}

/// The id has been claimed by nobody.
pub(super) fn unclaimed(id: Vec<u8>) -> Compare {
    Compare::create_revision(id, CompareOp::Equal, 0)
}

fn record(keys: &Keys, key: &RecordKey, version: Option<Version>) -> Compare {
    match version.map(revision_of) {
        // An absent key has the revision 0.
        None => Compare::mod_revision(keys.record(key), CompareOp::Equal, 0),
        Some(Some(revision)) => Compare::mod_revision(keys.record(key), CompareOp::Equal, revision),
        // This engine has not given that version.
        Some(None) => never(keys),
    }
}

fn no_insert(keys: &Keys, range: &KeyRange, revision: i64) -> Compare {
    Compare::create_revision(keys.record(&range.start), CompareOp::Less, revision + 1).with_range(keys.record(&range.end))
}

fn no_removal(keys: &Keys, range: &KeyRange, revision: i64) -> Compare {
    Compare::mod_revision(keys.removed(&range.start), CompareOp::Less, revision + 1).with_range(keys.removed(&range.end))
}

/// The ranges seen, in as few as possible. Those without keys are left out.
fn merged(seen: &Seen) -> Vec<KeyRange> {
    let mut ranges: Vec<&KeyRange> = seen.ranges.iter().map(|seen| &seen.range).collect();
    ranges.retain(|range| range.start < range.end);
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let mut merged: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.clone().max(range.end.clone()),
            _ => merged.push(range.clone()),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{KeyRange, RecordKey, Seen, merged};
    use crate::engine::SeenRange;

    fn range(start: &str, end: &str) -> KeyRange {
        let key = |text: &str| RecordKey::new(text.as_bytes());
        KeyRange { start: key(start), end: key(end) }
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let ranges = [("d", "e"), ("a", "b"), ("b", "c"), ("a", "ab"), ("x", "x"), ("z", "y")];
        let ranges = ranges.map(|(start, end)| SeenRange { range: range(start, end), keys: Vec::new() });
        let seen = Seen { ranges: ranges.to_vec(), ..Seen::default() };
        assert_eq!(merged(&seen), [range("a", "c"), range("d", "e")]);
    }
}
