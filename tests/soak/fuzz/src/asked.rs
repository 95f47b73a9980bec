//! What a server was asked: a few records, ranges and a page.

use arbitrary::{Arbitrary, Unstructured};
use metaparticle::engine::{KeyRange, RecordKey, Seen, SeenRange, Version};
use metaparticle::fuzzing::Asked;

#[derive(Arbitrary, Debug)]
pub struct Question {
    records: Vec<(u8, Option<u64>)>,
    ranges: Vec<(u8, u8, Vec<u8>)>,
    read: Vec<u8>,
    page: Option<(u8, u8, u8)>,
    settle: bool,
}

impl Question {
    /// Made of these bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::arbitrary(&mut Unstructured::new(bytes)).ok()
    }

    /// Of keys of one byte each.
    pub fn asked(&self) -> Asked {
        let key = |byte: u8| RecordKey::new([byte]);
        let range = |start: u8, end: u8| KeyRange { start: key(start), end: key(end) };
        let mut records: Vec<_> = self
            .records
            .iter()
            .map(|(byte, version)| (key(*byte), version.map(|version| Version::new(version.into()))))
            .collect();
        records.sort_by(|one, next| one.0.cmp(&next.0));
        records.dedup_by(|one, next| one.0 == next.0);
        let ranges = self
            .ranges
            .iter()
            .map(|(start, end, keys)| SeenRange { range: range(*start, *end), keys: keys.iter().copied().map(key).collect() });
        let compare = Seen { records, ranges: ranges.collect(), ..Seen::default() };
        let read = self.read.iter().copied().map(key).collect();
        let page = self.page.map(|(start, end, limit)| (range(start, end), limit.into()));
        Asked::new(compare, read, page, self.settle)
    }
}
