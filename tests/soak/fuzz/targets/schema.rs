//! A type's schemas as somebody else has stored them, and a record that follows one of them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use metaparticle::Persistent;
use metaparticle::fuzzing::{self, Reader};
use metaparticle::inspect::{StoredType, encode_value};
use metaparticle_fuzz::sample::{first, now};
use metaparticle_fuzz::{bounded, part};

static READERS: LazyLock<(Reader<first::Sample>, Reader<now::Sample>)> = LazyLock::new(Default::default);

fn read_as<T: Persistent>(reader: &Reader<T>, schemas: &[u8], record: &[u8]) {
    bounded(schemas, || {
        let Ok(known) = reader.known(schemas) else { return };
        let _ = reader.read(&known, record);
    });
}

fuzz_target!(|schemas: &[u8]| {
    let mut schemas = schemas;
    let record = part(&mut schemas);
    let (first, now) = &*READERS;
    bounded(schemas, || {
        if let Ok(again) = fuzzing::schemas(schemas) {
            assert_eq!(fuzzing::schemas(&again).expect("what was written is read"), again);
        }
        let Ok(stored) = StoredType::parse("sample", schemas.into()) else { return };
        stored.schemas().iter().flatten().for_each(|field| drop(field.shape.to_string()));
        let Ok(found) = stored.decode(record) else { return };
        for field in found.fields {
            // What was understood can be written again; other bytes may mean the same.
            let Ok(Some(value)) = field.value() else { continue };
            let bytes = encode_value(&field.field.shape, &value).expect("a value of its shape");
            let again = metaparticle::inspect::decode_value(&field.field.shape, &bytes).expect("it is read again");
            assert_eq!(encode_value(&field.field.shape, &again).expect("a value of its shape"), bytes);
        }
    });
    read_as(first, schemas, record);
    read_as(now, schemas, record);
});
