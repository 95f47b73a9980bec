//! The engine contract, on every engine.

mod memory {
    metaparticle::conformance_tests!(metaparticle::conformance::memory_engine);
}

mod sled {
    use metaparticle::engine::Engine;
    use tempfile::TempDir;

    fn engine() -> (Box<dyn Engine>, TempDir) {
        let folder = metaparticle_tests::folder();
        let engine = metaparticle::conformance::sled_engine(&folder.path().join("store")).expect("a new store opens");
        (engine, folder)
    }

    metaparticle::conformance_tests!(engine);
}
