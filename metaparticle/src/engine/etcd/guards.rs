//! What etcd itself compares in the step that commits.
//!
//! A record is compared by its revision, exactly. A range that was looked at, at a revision, has changed if a key in it was made
//! later, or a mark of a removed record was written later. If all that was read does not fit like this, neighbours are put
//! together into spans: nothing in a span may have been changed since the look. That may refuse a commit although nothing that
//! was read has changed; then it is looked at again. It never lets one through.

use etcd_client::{Compare, CompareOp};

use super::OPERATIONS;
use super::keys::Keys;
use super::look::revision_of;
use crate::engine::remote::after;
use crate::engine::{KeyRange, RecordKey, Seen, Version};

/// How many of them there are at most; one more is for the commit's id.
const GUARDS: usize = OPERATIONS - 1;

/// Guards that need no look before: of records only, and only if they fit.
pub(super) fn of_records(keys: &Keys, seen: &Seen) -> Option<Vec<Compare>> {
    let fit = seen.ranges.is_empty() && seen.records.len() <= GUARDS;
    fit.then(|| seen.records.iter().map(|(key, version)| record(keys, key, *version)).collect())
}

/// Guards of what was found current at `revision`.
pub(super) fn since(keys: &Keys, seen: &Seen, revision: i64) -> Vec<Compare> {
    let ranges = merged(seen.ranges.iter().map(|seen| seen.range.clone()).collect());
    if seen.records.len() + 2 * ranges.len() <= GUARDS {
        let records = seen.records.iter().map(|(key, version)| record(keys, key, *version));
        let ranges = ranges.iter().flat_map(|range| [no_insert(keys, range, revision), no_removal(keys, range, revision)]);
        return records.chain(ranges).collect();
    }
    let single = |key: &RecordKey| KeyRange { start: key.clone(), end: after(key) };
    let mut spans: Vec<KeyRange> = seen.records.iter().map(|(key, _)| single(key)).chain(ranges).collect();
    spans = merged(spans);
    let together = spans.len().div_ceil(GUARDS / 2).max(1);
    let spans = spans.chunks(together).filter_map(|some| {
        // In order, and apart from each other: so the last one ends last.
        Some(KeyRange { start: some.first()?.start.clone(), end: some.last()?.end.clone() })
    });
    spans.flat_map(|span| [no_change(keys, &span, revision), no_removal(keys, &span, revision)]).collect()
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

fn no_change(keys: &Keys, range: &KeyRange, revision: i64) -> Compare {
    Compare::mod_revision(keys.record(&range.start), CompareOp::Less, revision + 1).with_range(keys.record(&range.end))
}

fn no_removal(keys: &Keys, range: &KeyRange, revision: i64) -> Compare {
    Compare::mod_revision(keys.removed(&range.start), CompareOp::Less, revision + 1).with_range(keys.removed(&range.end))
}

/// The same keys in as few ranges as possible, in order. Ranges without keys are left out.
fn merged(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let mut merged: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.clone().max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{GUARDS, KeyRange, Keys, RecordKey, Seen, Version, merged, of_records, since};
    use crate::engine::SeenRange;

    fn range(start: &str, end: &str) -> KeyRange {
        let key = |text: &str| RecordKey::new(text.as_bytes());
        KeyRange { start: key(start), end: key(end) }
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let ranges = vec![range("d", "e"), range("a", "b"), range("b", "c"), range("a", "ab"), range("x", "x"), range("z", "y")];
        assert_eq!(merged(ranges), [range("a", "c"), range("d", "e")]);
    }

    #[test]
    fn whatever_was_read_fits() {
        let keys = Keys::new("test");
        for records in [0, 1, GUARDS - 2, GUARDS, GUARDS + 1, 64, 65, 1000, 1001] {
            for ranges in [0, 1, 2, 31, 32, 400] {
                let key = |n: usize| RecordKey::new(n.to_be_bytes().to_vec());
                let seen = Seen {
                    records: (0..records).map(|n| (key(2 * n), Some(Version::new(1)))).collect(),
                    ranges: (0..ranges)
                        .map(|n| SeenRange { range: KeyRange { start: key(10 * n), end: key(10 * n + 5) }, keys: Vec::new() })
                        .collect(),
                    ..Seen::default()
                };
                let guards = since(&keys, &seen, 7);
                assert!(guards.len() <= GUARDS, "{records} records and {ranges} ranges: {}", guards.len());
                assert_eq!(guards.is_empty(), records + ranges == 0);
                assert_eq!(of_records(&keys, &seen).is_some(), ranges == 0 && records <= GUARDS);
            }
        }
    }
}
