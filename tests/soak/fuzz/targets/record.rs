//! A record that follows a schema which the store has: one of the program's, or of an older one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing::Reader;
use metaparticle_fuzz::bounded;
use metaparticle_fuzz::sample::{now, schemas};

static SCHEMAS: LazyLock<Vec<u8>> = LazyLock::new(schemas);
static READER: LazyLock<(Reader<now::Sample>, Vec<u8>)> = LazyLock::new(|| {
    let reader = Reader::default();
    let own = reader.schemas();
    (reader, own)
});

fuzz_target!(|record: &[u8]| {
    let ((reader, own), schemas) = (&*READER, &*SCHEMAS);
    let Ok(object) = bounded(record, || reader.read(schemas, record)) else { return };
    // A value that reads need not be one that can be written; one that is written must read.
    let Ok(written) = reader.write(&object) else { return };
    let again = reader.read(own, &written).expect("what was written is read");
    assert_eq!(reader.write(&again).expect("it is written again"), written);
});
