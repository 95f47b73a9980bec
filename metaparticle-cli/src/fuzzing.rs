//! Reads lines of an exported file that somebody else has written. Only the build of `tests/soak/fuzz` has it.

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use metaparticle::inspect::StoredType;
use metaparticle_fuzz::bounded;

use crate::line::{self, Line};

fuzz_target!(|file: &str| bounded(file.as_bytes(), || read(file)));

fn read(file: &str) {
    let mut types = HashMap::new();
    for text in file.lines() {
        let Ok(found) = line::parse(text, &types) else { continue };
        match found {
            Line::Type(name, bytes) => {
                let Ok(stored) = StoredType::parse(&name, bytes.into()) else { continue };
                line::of_type(&stored);
                types.insert(name, stored);
            }
            Line::Record(key, bytes) => {
                // A record is exported as it was imported.
                for stored in types.values().map(Some).chain([None]) {
                    let (text, _) = line::of_record(stored, &key, &bytes);
                    let again = line::parse(&text, &types).unwrap_or_else(|why| panic!("{text}: {why}"));
                    let Line::Record(again_key, again) = again else { panic!("{text}: a record has become a type") };
                    assert!(again_key == key && again == bytes, "{text}");
                }
            }
        }
    }
}
