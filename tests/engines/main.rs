//! The engine contract, on every engine.

mod table;

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

mod fjall {
    use metaparticle::engine::Engine;
    use tempfile::TempDir;

    fn engine() -> (Box<dyn Engine>, TempDir) {
        let folder = metaparticle_tests::folder();
        (super::fjall_engine(&folder), folder)
    }

    metaparticle::conformance_tests!(engine);
}

fn fjall_engine(folder: &tempfile::TempDir) -> Box<dyn metaparticle::engine::Engine> {
    let url = format!("fjall:{}", folder.path().join("store").display());
    metaparticle::conformance::engine_at(&url).expect("a new store opens")
}

/// A new store on the server of this engine, if that is installed.
fn on_server(name: &str) -> Option<Box<dyn metaparticle::engine::Engine>> {
    let url = metaparticle_tests::servers::shared(name)?.new_url();
    Some(metaparticle::conformance::engine_at(&url).expect("a new store opens"))
}

mod mysql {
    metaparticle::conformance_tests!(|| super::on_server("mysql"));
}

mod postgres {
    metaparticle::conformance_tests!(|| super::on_server("postgres"));
}

mod etcd {
    metaparticle::conformance_tests!(|| super::on_server("etcd"));
}

mod redis {
    metaparticle::conformance_tests!(|| super::on_server("redis"));
}
