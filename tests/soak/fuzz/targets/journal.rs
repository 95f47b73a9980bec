//! The segments of a journal, with checksums that fit or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::{bounded, in_folder, part};

fuzz_target!(|input: &[u8]| {
    let Some((&[how, after], mut rest)) = input.split_first_chunk::<2>() else { return };
    let segments = [part(&mut rest), part(&mut rest), part(&mut rest)];
    // The highest numbers that there are, or the lowest.
    let first = if how & 2 == 0 { 1 } else { (1 << 63) - 3 };
    in_folder(|folder| {
        bounded(input, || fuzzing::journal(folder, first, &segments, how & 1 == 1, after.into()).is_ok());
    });
});
