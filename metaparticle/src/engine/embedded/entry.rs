//! The bytes of records and of the store's state inside an ordered map.
//!
//! The first byte of a key says what is behind it:
//!
//! | key | value |
//! |---|---|
//! | `0` | the *state*: checksum `u32`, format `u16`, store id `u128`, last commit `u64`, number of records `u64`, digest `u64` |
//! | `1`, record key | the *head* of a record: checksum `u32`, version `u64`, number of further pieces `u16`, first bytes |
//! | `2`, length of record key `u16`, record key, index `u16` | a further *piece* of a record's bytes, in sled only |
//!
//! Numbers are little-endian in values and big-endian in keys. A checksum is the CRC-32 of all that follows it; that of a head
//! covers the record key, the version, the number of pieces, and the bytes of all pieces. The *digest* is the wrapping sum, over
//! all heads, of a 64-bit mix of record key, version and checksum: it tells when a record has vanished without a trace.

use super::map::NUMBERS;
use crate::engine::{Record, Version};
use crate::error::{Error, ErrorKind, Result};

const HEAD_BYTES: usize = 4 + 8 + 2;
const STATE_BYTES: usize = 4 + 2 + 16 + 8 + 8 + 8;
const FORMAT: u16 = 1;

pub(super) const STATE_KEY: &[u8] = &[0];
const HEAD: u8 = 1;
const PIECE: u8 = 2;

/// The key of a record's head.
pub(super) fn head_key(key: &[u8]) -> Vec<u8> {
    [&[HEAD], key].concat()
}

/// All heads.
pub(super) const HEADS: std::ops::Range<[u8; 1]> = [HEAD]..[PIECE];

/// The record key of a head.
pub(super) fn record_key(head_key: &[u8]) -> &[u8] {
    head_key.strip_prefix(&[HEAD]).unwrap_or_default()
}

pub(super) fn piece_key(key: &[u8], index: u16) -> Vec<u8> {
    [&[PIECE], &(key.len() as u16).to_be_bytes()[..], key, &index.to_be_bytes()].concat()
}

/// A record cut into values of at most `value_bytes`: the head, and further pieces.
pub(super) fn split<'a>(key: &[u8], version: u64, bytes: &'a [u8], value_bytes: usize) -> (Vec<u8>, Vec<&'a [u8]>) {
    let (first, rest) = bytes.split_at(bytes.len().min(value_bytes - HEAD_BYTES));
    let pieces: Vec<&[u8]> = rest.chunks(value_bytes).collect();
    let count = pieces.len() as u16;
    let mut head = Vec::with_capacity(HEAD_BYTES + first.len());
    head.extend(checksum(key, version, count, bytes).to_le_bytes());
    head.extend(version.to_le_bytes());
    head.extend(count.to_le_bytes());
    head.extend_from_slice(first);
    (head, pieces)
}

fn checksum(key: &[u8], version: u64, pieces: u16, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(&version.to_le_bytes());
    hasher.update(&pieces.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// A head, read but not yet checked: the other pieces are missing.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    checksum: u32,
    version: u64,
    pub(super) pieces: u16,
    first: &'a [u8],
}

impl<'a> Head<'a> {
    pub(super) fn parse(key: &[u8], value: &'a [u8]) -> Result<Self> {
        let (&[a, b, c, d, v0, v1, v2, v3, v4, v5, v6, v7, p0, p1], first) =
            value.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| damaged(key, "it is too short"))?;
        Ok(Self {
            checksum: u32::from_le_bytes([a, b, c, d]),
            version: u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            pieces: u16::from_le_bytes([p0, p1]),
            first,
        })
    }

    /// The whole record, if the checksum says so. `piece` gives further pieces.
    pub(super) fn join<P: AsRef<[u8]>>(self, key: &[u8], mut piece: impl FnMut(u16) -> Result<Option<P>>) -> Result<Record> {
        let mut bytes = self.first.to_vec();
        for index in 0..self.pieces {
            // A wrong number of pieces ends at the first that is not there.
            let piece = piece(index)?.ok_or_else(|| damaged(key, "a piece of it is missing"))?;
            bytes.extend_from_slice(piece.as_ref());
        }
        if checksum(key, self.version, self.pieces, &bytes) != self.checksum {
            return Err(damaged(key, "its checksum does not fit"));
        }
        Ok(Record { version: Version::new(self.version.into()), bytes: bytes.into() })
    }

    /// The record's part of the digest.
    fn digest(&self, key: &[u8]) -> u64 {
        let mut mixed = (u64::from(crc32fast::hash(key)) << 32 | u64::from(self.checksum)) ^ self.version.rotate_left(17);
        // The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn damaged(key: &[u8], how: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the record \"{}\" is damaged: {how}", key.escape_ascii()))
}

/// What the store knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) store_id: u128,
    pub(super) last_commit: u64,
    pub(super) records: u64,
    pub(super) digest: u64,
}

impl State {
    /// That of an empty store.
    pub(super) fn new(store_id: u128) -> Self {
        Self { store_id, last_commit: 0, records: 0, digest: 0 }
    }

    pub(super) fn add(&mut self, key: &[u8], head: &Head<'_>) {
        self.records = self.records.wrapping_add(1);
        self.digest = self.digest.wrapping_add(head.digest(key));
    }

    pub(super) fn remove(&mut self, key: &[u8], head: &Head<'_>) {
        self.records = self.records.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(head.digest(key));
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.store_id.to_le_bytes());
        bytes.extend(self.last_commit.to_le_bytes());
        bytes.extend(self.records.to_le_bytes());
        bytes.extend(self.digest.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(ErrorKind::Corrupt, "the state of the store is damaged: its checksum does not fit");
        let bytes: &[u8; STATE_BYTES] = bytes.try_into().map_err(|_| damaged())?;
        if crc32fast::hash(&bytes[4..]).to_le_bytes() != bytes[..4] {
            return Err(damaged());
        }
        if bytes[4..6] != FORMAT.to_le_bytes() {
            return Err(Error::new(ErrorKind::Incompatible, "the store was written by a newer version of metaparticle"));
        }
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let store_id = u128::from(number(6)) | u128::from(number(14)) << 64;
        let state = Self { store_id, last_commit: number(22), records: number(30), digest: number(38) };
        if state.last_commit < NUMBERS { Ok(state) } else { Err(damaged()) }
    }
}

/// Has the checksum of a head fit, with the pieces that are there.
#[cfg(fuzzing)]
pub(super) fn seal(key: &[u8], value: &mut [u8], piece: impl Fn(u16) -> Option<Vec<u8>>) {
    let Ok(head) = Head::parse(key, value) else { return };
    let pieces = (0..head.pieces).map_while(piece).flatten();
    let bytes: Vec<u8> = head.first.iter().copied().chain(pieces).collect();
    let checksum = checksum(key, head.version, head.pieces, &bytes);
    value[..4].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(fuzzing)]
impl State {
    /// The state in these bytes, whose checksum is made to fit.
    pub(super) fn sealed(bytes: &mut [u8]) -> Option<Self> {
        let checksum = crc32fast::hash(bytes.get(4..)?);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        Self::decode(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let bytes: Vec<u8> = (0..9000).map(|n| n as u8).collect();
        let (head, pieces) = split(b"key", 7, &bytes, 4_000);
        let read = |key: &[u8], head: &[u8], pieces: &[Vec<u8>]| {
            Head::parse(key, head)?.join(key, |index| Ok(pieces.get(usize::from(index))))
        };
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(&*read(b"key", &head, &pieces).expect("reads").bytes, &*bytes);
        assert!(read(b"kez", &head, &pieces).is_err(), "it is another record's");
        for bit in 0..head.len() * 8 {
            let mut damaged = head.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(b"key", &damaged, &pieces).is_err(), "bit {bit} of the head");
        }
        for bit in (0..pieces[0].len() * 8).step_by(7) {
            let mut damaged = pieces.clone();
            damaged[0][bit / 8] ^= 1 << (bit % 8);
            assert!(read(b"key", &head, &damaged).is_err(), "bit {bit} of a piece");
        }
        for cut in 0..head.len() {
            assert!(read(b"key", &head[..cut], &pieces).is_err(), "cut to {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_of_the_state_is_noticed() {
        let state = State { store_id: 1 << 100 | 5, last_commit: 7, records: 2, digest: u64::MAX - 3 };
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes).expect("decodes"), state);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(State::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
