//! What a PostgreSQL server tells those who listen. Rows are the driver's to make; tests on a server damage them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::bounded;

fuzz_target!(|payload: &str| {
    bounded(payload.as_bytes(), || {
        let Some(keys) = fuzzing::postgres_message(payload) else { return };
        let again: Vec<String> = keys.iter().map(|key| hex::encode(&**key)).collect();
        assert_eq!(again.join(","), payload.to_lowercase());
    });
});
