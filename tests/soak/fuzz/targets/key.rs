//! Record keys of every type of keys, read with and without the program's types.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::engine::RecordKey;
use metaparticle::inspect::{KeyType, place};
use metaparticle::{Persistent, fuzzing, persistent};
use metaparticle_fuzz::{bounded, part};

macro_rules! types {
    ($($name:ident $key:ty;)*) => {
        $(
            #[persistent(name = "t", key = $key)]
            struct $name {}
        )*
        fn read_as_all(record_key: &[u8]) {
            $(read_as::<$name>(record_key);)*
        }
    };
}

types! {
    Text String; I8 i8; I16 i16; I32 i32; I64 i64; I128 i128; U8 u8; U16 u16; U32 u32; U64 u64; U128 u128; Uuid uuid::Uuid;
    One (String,); Two (i64, String); Nested ((u8, uuid::Uuid), (String, (u128, i16)), i128);
}

#[persistent(name = "t", singleton)]
struct Only {}

fn read_as<T: Persistent>(record_key: &[u8]) {
    let Some((key, again)) = fuzzing::key::<T>(record_key) else { return };
    let (same, _) = fuzzing::key::<T>(&again).expect("what was written is read");
    assert!(same == key, "{key:?} is read as {same:?}");
}

const NAMES: [&str; 8] = ["none", "text", "i8", "i128", "u64", "uuid", "(i64, text)", "((u8, uuid), (text, (u128, i16)), i128)"];

fuzz_target!(|record_key: &[u8]| {
    let mut record_key = record_key;
    let name = str::from_utf8(part(&mut record_key)).unwrap_or_default();
    bounded(record_key, || {
        read_as_all(record_key);
        read_as::<Only>(record_key);
        let _ = place(&RecordKey::new(record_key));
        for name in NAMES.into_iter().chain([name]) {
            let Some(key_type) = KeyType::parse(name) else { continue };
            assert_eq!(KeyType::parse(&key_type.to_string()), Some(key_type.clone()), "{name}");
            // As a schema that names this type of keys would have it read.
            let Ok(stored) = fuzzing::type_with_keys("t", name) else { continue };
            let Ok(key) = stored.key(&RecordKey::new(record_key)) else { continue };
            assert!(*stored.record_key(&key).expect("a key of the type") == *record_key, "{key:?} has another record key");
        }
    });
});
