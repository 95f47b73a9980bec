//! The mark and the map of a store in a folder, with checksums that fit or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::{bounded, in_folder, part};

fuzz_target!(|input: &[u8]| {
    let Some((sealed, mut rest)) = input.split_first() else { return };
    let mut mark = vec![0; 512 + 64];
    for at in [0, 512] {
        let slot = part(&mut rest);
        let length = slot.len().min(64);
        mark[at..at + length].copy_from_slice(&slot[..length]);
    }
    let mut entries = fuzzing::Entries::new();
    while !rest.is_empty() {
        entries.insert(part(&mut rest).to_vec(), part(&mut rest).to_vec());
    }
    in_folder(|folder| {
        // A journal takes long to make.
        std::fs::create_dir(folder.join("journal")).expect("a folder");
        for number in 1..=2 {
            std::fs::write(folder.join(format!("journal/{number:016x}")), b"").expect("a file");
        }
        bounded(input, || fuzzing::store(folder, &mark, entries, sealed % 2 == 1).is_ok());
    });
});
