//! The file with a program's schemas.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaparticle::SchemaFile;
use metaparticle_fuzz::sample::{first, now};
use metaparticle_fuzz::{bounded, in_folder};

fuzz_target!(|content: &[u8]| {
    in_folder(|folder| {
        let path = folder.join("metaparticle.schema");
        std::fs::write(&path, content).expect("it is written");
        bounded(content, || {
            let _ = SchemaFile::new(&path).with::<now::Sample>().verify();
            let _ = SchemaFile::new(&path).with::<first::Sample>().verify();
        });
        assert!(std::fs::read(&path).expect("it is there") == content, "the file was changed");
    });
});
