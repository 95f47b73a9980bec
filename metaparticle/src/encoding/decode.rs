//! Decodes whole values, with no more memory than their bytes allow.

use std::any::{Any, TypeId};

use bincode::config::{self, Config};
use bincode::de::read::{Reader, SliceReader};
use bincode::de::{BorrowDecode, Decoder, DecoderImpl};
use bincode::error::DecodeError;
use bincode::serde::{BorrowCompat, seed_decode_from_slice};
use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

use crate::planted::{Bug, planted};

/// What bincode claims of the limit, at most, for each byte that it reads: a `u128` can be stored in one.
const PER_BYTE: usize = size_of::<u128>();
/// What any value may claim, so that one that is cut short is told so.
const SOME: usize = 0x1_0000;

const LEFT_OVER: DecodeError = DecodeError::Other("bytes are left over after the value");

/// One for all: whatever is decoded is compiled again for each kind of limit.
fn configuration() -> impl Config {
    config::standard().with_limit::<{ usize::MAX }>()
}

/// Decodes a whole value. A text is read where it is: for one of its own, bincode would first ask for memory that is set to zero.
pub(super) fn decode<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, DecodeError> {
    if TypeId::of::<T>() == TypeId::of::<String>() {
        let mut text = Some(decode_from::<&str>(bytes)?.to_owned());
        let text: &mut dyn Any = &mut text;
        if let Some(text) = text.downcast_mut::<Option<T>>().and_then(Option::take) {
            return Ok(text);
        }
    }
    decode_from(bytes)
}

/// Decodes a whole value. Lengths in damaged bytes cannot make it allocate out of proportion to `bytes`.
pub(crate) fn decode_from<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut decoder = DecoderImpl::new(SliceReader::new(bytes), configuration(), ());
    let allowed = if planted(Bug::TrustLength) { 1 << 30 } else { bytes.len().saturating_mul(PER_BYTE).max(SOME) };
    // The limit is of the type; what is claimed here is not there for the value.
    decoder.claim_bytes_read(usize::MAX - allowed)?;
    let BorrowCompat(value) = BorrowCompat::borrow_decode(&mut decoder)?;
    if decoder.reader().peek_read(1).is_none() { Ok(value) } else { Err(LEFT_OVER) }
}

/// Decodes a whole value with a seed that asks for memory for nothing but what it has read: lengths are believed.
pub(crate) fn decode_unlimited<'a, S: DeserializeSeed<'a>>(seed: S, bytes: &'a [u8]) -> Result<S::Value, DecodeError> {
    let (value, read) = seed_decode_from_slice(seed, bytes, configuration())?;
    if read == bytes.len() { Ok(value) } else { Err(LEFT_OVER) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_hostile_length_does_not_allocate() {
        // bincode: 253 announces a u64; a string of 2^62 bytes.
        let bytes = [&[253u8][..], &(1u64 << 62).to_le_bytes()].concat();
        assert!(decode::<String>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        assert!(decode::<HashMap<String, u64>>(&bytes).is_err());
        // 252 announces a u32; a megabyte, for five bytes.
        let bytes = [&[252u8][..], &(1u32 << 20).to_le_bytes()].concat();
        assert!(matches!(decode::<(String,)>(&bytes), Err(DecodeError::LimitExceeded)));
        assert!(matches!(decode::<Option<String>>(&[&[1], &bytes[..]].concat()), Err(DecodeError::LimitExceeded)));
    }

    #[test]
    fn what_is_large_for_its_bytes_is_read() {
        let numbers = vec![0u128; 10_000];
        let bytes = bincode::serde::encode_to_vec(&numbers, config::standard()).expect("encodes");
        assert_eq!((bytes.len(), decode(&bytes).expect("decodes")), (10_003, numbers));
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_told() {
        assert!(matches!(decode::<(u64, String)>(&[]), Err(DecodeError::UnexpectedEnd { .. })));
        assert!(matches!(decode::<(String,)>(&[3, b'a']), Err(DecodeError::UnexpectedEnd { .. })));
        let error = decode::<u8>(&[1, 2, 3]).expect_err("is too long");
        assert!(error.to_string().contains("bytes are left over"), "{error}");
    }
}
