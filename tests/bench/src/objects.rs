//! What is stored: an object of about 116 bytes, one of 50 fields and about 4 KiB, and one of any size.

use metaparticle::persistent;
use serde::{Deserialize, Serialize};

/// An account, or a counter.
#[persistent(key = u32)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) owner: String,
    pub(crate) note: String,
    pub(crate) opened: u64,
}

impl Account {
    pub(crate) fn new(number: u32) -> Self {
        let owner = format!("The owner of the account with number {number:06}");
        Self { balance: 0, owner, note: "n".repeat(65), opened: 1_700_000_000 + u64::from(number) }
    }
}

/// Text fields around one number.
macro_rules! wide {
    ($($field:ident)*) => {
        /// An object of 50 fields.
        #[persistent(key = u32)]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(crate) struct Wide {
            pub(crate) number: u64,
            $(pub(crate) $field: String,)*
        }

        impl Wide {
            pub(crate) const TEXTS: &[&str] = &[$(stringify!($field)),*];

            pub(crate) fn new() -> Self {
                Self { number: 0, $($field: stringify!($field).repeat(27),)* }
            }

            pub(crate) fn texts(&self) -> Vec<&str> {
                vec![$(&self.$field),*]
            }
        }
    };
}

wide! {
    f01 f02 f03 f04 f05 f06 f07 f08 f09 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23 f24 f25
    f26 f27 f28 f29 f30 f31 f32 f33 f34 f35 f36 f37 f38 f39 f40 f41 f42 f43 f44 f45 f46 f47 f48 f49
}

/// An object of as many bytes as wanted.
#[persistent(key = u32)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) number: u64,
    text: String,
}

impl Document {
    pub(crate) fn new(bytes: usize) -> Self {
        // The number and the length of the text take a byte each, or a few.
        Self { number: 0, text: "t".repeat(bytes.saturating_sub(2)) }
    }
}

/// Bytes of an object as bincode writes them.
pub(crate) fn encode<T: Serialize>(object: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(object, bincode::config::standard()).expect("it can be encoded")
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    bincode::serde::decode_from_slice(bytes, bincode::config::standard()).expect("it can be decoded").0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_as_large_as_they_are_said_to_be() {
        assert!((110..=122).contains(&encode(&Account::new(1)).len()), "{}", encode(&Account::new(1)).len());
        assert!((3_900..=4_200).contains(&encode(&Wide::new()).len()), "{}", encode(&Wide::new()).len());
        assert_eq!(Wide::TEXTS.len() + 1, 50);
        for bytes in [100, 1 << 20] {
            let encoded = encode(&Document::new(bytes)).len();
            assert!((bytes..bytes + 8).contains(&encoded), "{encoded}");
        }
    }
}
