//! A record that follows a schema which the store has: one of the program's, or of an older one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing::{Known, Reader};
use metaparticle_fuzz::bounded;
use metaparticle_fuzz::sample::{now, schemas};

/// The program, with the schemas of a store that its older version has used too, and of one that only it has.
static PROGRAM: LazyLock<(Reader<now::Sample>, Known, Known)> = LazyLock::new(|| {
    let reader = Reader::default();
    let known = |schemas: &[u8]| reader.known(schemas).expect("they are ours");
    let (both, own) = (known(&schemas()), known(&reader.schemas()));
    (reader, both, own)
});

fuzz_target!(|record: &[u8]| {
    let (reader, both, own) = &*PROGRAM;
    let Ok(object) = bounded(record, || reader.read(both, record)) else { return };
    // A value that reads need not be one that can be written; one that is written must read.
    let Ok(written) = reader.write(&object) else { return };
    let again = reader.read(own, &written).expect("what was written is read");
    assert_eq!(reader.write(&again).expect("it is written again"), written);
});
