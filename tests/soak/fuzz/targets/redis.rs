//! What a Redis server answers to a script, as bytes of its protocol, and what it tells those who listen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::asked::Question;
use metaparticle_fuzz::{bounded, part};

fuzz_target!(|input: &[u8]| {
    let mut bytes = input;
    let Some(question) = Question::of(part(&mut bytes)) else { return };
    bounded(bytes, || {
        if let Some(keys) = fuzzing::redis_message(bytes) {
            let again: Vec<u8> = keys.iter().flat_map(|key| [&(key.len() as u16).to_be_bytes()[..], key].concat()).collect();
            assert_eq!(again, bytes);
        }
        if let Ok(answer) = redis::parse_redis_value(bytes) {
            fuzzing::redis_answer(answer, &question.asked());
        }
    });
});
