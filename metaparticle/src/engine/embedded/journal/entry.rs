//! The bytes of an entry: a group of changes, with what tells that it is whole and which one it follows.
//!
//! An entry is a head and a body, padded with zeros to a multiple of 64 bytes. Numbers are little-endian.
//!
//! | bytes of the head | what |
//! |---|---|
//! | 4 | checksum of the rest of the head |
//! | 4 | checksum of the body with its padding |
//! | 4 | bytes of the body with its padding |
//! | 4 | number of changes |
//! | 8 | last commit of the entry before |
//! | 8 | last commit of this one |
//!
//! A change is: length of the key `u32`, key, then `0` if the record was removed, or `1`, version `u64`, length `u32`, bytes. The
//! checksums are CRC-32s that begin with the segment's seed, so that an entry of another segment does not fit.

use crate::engine::embedded::map::{Group, NUMBERS};
use crate::engine::{Record, RecordKey, Version};
use crate::planted::{Bug, planted};

/// Entries begin at multiples of this: no head is in two sectors, and there are few places to look at behind a damaged entry.
pub(super) const ALIGNMENT: usize = 64;
pub(super) const HEAD_BYTES: usize = 4 + 4 + 4 + 4 + 8 + 8;
const REMOVED: u8 = 0;
const RECORD: u8 = 1;

/// The head of an entry, with a checksum that fits. The body may still be torn.
#[derive(Clone, Copy)]
pub(super) struct Head {
    body_checksum: u32,
    body_bytes: usize,
    changes: u32,
    pub(super) previous: u64,
    pub(super) last_commit: u64,
}

impl Head {
    /// The head at the start of `bytes`, if there is one and its entry ends within them.
    pub(super) fn read(bytes: &[u8], seed: u32) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let mut fields = &head[..];
        let checksum = u32::from_le_bytes(take(&mut fields)?);
        let covered = fields;
        let head = Self {
            body_checksum: u32::from_le_bytes(take(&mut fields)?),
            body_bytes: u32::from_le_bytes(take(&mut fields)?) as usize,
            changes: u32::from_le_bytes(take(&mut fields)?),
            previous: u64::from_le_bytes(take(&mut fields)?),
            last_commit: u64::from_le_bytes(take(&mut fields)?),
        };
        // Looked at first because it is quicker than the checksum, and `read` is tried at every place behind the last entry.
        let possible = head.previous < head.last_commit && head.last_commit < NUMBERS && head.body_bytes <= rest.len();
        (possible && self::checksum(seed, covered) == checksum).then_some(head)
    }

    pub(super) fn entry_bytes(&self) -> usize {
        HEAD_BYTES + self.body_bytes
    }

    /// The body of the entry that `bytes` begin with, if it is whole.
    pub(super) fn body<'a>(&self, bytes: &'a [u8], seed: u32) -> Option<&'a [u8]> {
        let body = bytes.get(HEAD_BYTES..self.entry_bytes())?;
        (checksum(seed, body) == self.body_checksum || planted(Bug::ReplayTornEntry)).then_some(body)
    }

    /// The group in a body, unless it is not one.
    pub(super) fn decode(&self, mut body: &[u8]) -> Option<Group> {
        let mut changes = Vec::new();
        for _ in 0..self.changes {
            let key = take_slice(&mut body)?;
            let record = match take(&mut body)? {
                [REMOVED] => None,
                [RECORD] => {
                    let version = Version::new(u64::from_le_bytes(take(&mut body)?).into());
                    Some(Record { version, bytes: take_slice(&mut body)?.into() })
                }
                _ => return None,
            };
            changes.push((RecordKey::new(key), record));
        }
        let padding = body.len() < ALIGNMENT && body.iter().all(|&byte| byte == 0);
        padding.then_some(Group { changes, last_commit: self.last_commit })
    }
}

/// How many bytes the entry of a group takes.
pub(super) fn entry_bytes(group: &Group) -> usize {
    let change = |(key, record): &(RecordKey, Option<Record>)| {
        4 + key.len() + 1 + record.as_ref().map_or(0, |record| 8 + 4 + record.bytes.len())
    };
    (HEAD_BYTES + group.changes.iter().map(change).sum::<usize>()).next_multiple_of(ALIGNMENT)
}

/// Puts the entry of a group into `entry`. The group is not longer than a segment, so its lengths fit.
pub(super) fn encode(group: &Group, previous: u64, seed: u32, entry: &mut Vec<u8>) {
    entry.clear();
    entry.resize(HEAD_BYTES, 0);
    for (key, record) in &group.changes {
        put_slice(entry, key);
        match record {
            None => entry.push(REMOVED),
            Some(record) => {
                entry.push(RECORD);
                entry.extend((record.version.number() as u64).to_le_bytes());
                put_slice(entry, &record.bytes);
            }
        }
    }
    entry.resize(entry.len().next_multiple_of(ALIGNMENT), 0);
    let (head, body) = entry.split_at_mut(HEAD_BYTES);
    head[4..8].copy_from_slice(&checksum(seed, body).to_le_bytes());
    head[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[12..16].copy_from_slice(&(group.changes.len() as u32).to_le_bytes());
    head[16..24].copy_from_slice(&previous.to_le_bytes());
    head[24..32].copy_from_slice(&group.last_commit.to_le_bytes());
    let head_checksum = checksum(seed, &head[4..]);
    head[..4].copy_from_slice(&head_checksum.to_le_bytes());
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Has the checksums of the entry that `bytes` begin with fit; gives its length.
#[cfg(fuzzing)]
pub(super) fn seal(bytes: &mut [u8], seed: u32) -> Option<usize> {
    let (head, rest) = bytes.split_at_mut_checked(HEAD_BYTES)?;
    let length = u32::from_le_bytes(head[8..12].try_into().ok()?) as usize;
    let body = checksum(seed, rest.get(..length)?);
    head[4..8].copy_from_slice(&body.to_le_bytes());
    let checksum = checksum(seed, &head[4..]);
    head[..4].copy_from_slice(&checksum.to_le_bytes());
    Some(HEAD_BYTES + length)
}

fn put_slice(bytes: &mut Vec<u8>, slice: &[u8]) {
    bytes.extend((slice.len() as u32).to_le_bytes());
    bytes.extend_from_slice(slice);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn take_slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes)?);
    if planted(Bug::UncheckedIndex) {
        let (slice, rest) = bytes.split_at(length as usize);
        *bytes = rest;
        return Some(slice);
    }
    let (slice, rest) = bytes.split_at_checked(length as usize)?;
    *bytes = rest;
    Some(slice)
}
