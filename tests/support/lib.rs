//! What the tests share: throw-away stores on every engine.

pub mod crash;
pub mod programs;
pub mod proxy;
pub mod queue;
pub mod servers;
pub mod strict;

use std::fs;
use std::ops::Deref;
use std::path::Path;

use metaparticle::{Store, StoreBuilder};
use tempfile::TempDir;

/// A store that ends with the test, and the folder that it is in.
#[derive(Debug)]
pub struct TestStore {
    store: Store,
    _folder: Option<TempDir>,
}

impl Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// A new store on the engine with this name, opened with `settings`.
    pub fn with(engine: &str, settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let (url, folder) = match engine {
            "memory" => ("memory:".to_owned(), None),
            "fjall" | "sled" => {
                let folder = folder();
                (format!("{engine}:{}", folder.path().join("store").display()), Some(folder))
            }
            server => (servers::shared(server).expect("the server is there").new_url(), None),
        };
        let store = settings(Store::builder(url)).open().expect("a new store opens");
        Self { store, _folder: folder }
    }

    /// A store that needs nothing to last as long.
    pub fn on(store: Store) -> Self {
        Self { store, _folder: None }
    }

    /// A new store on the engine with this name.
    pub fn new(engine: &str) -> Self {
        Self::with(engine, |settings| settings)
    }
}

/// A throw-away folder.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("reads").map(|entry| entry.expect("reads")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

/// Makes of each function a test on every engine. The function is given the engine's name.
#[macro_export]
macro_rules! on_every_engine {
    ($($name:ident)*) => {
        mod on_fjall {
            $(#[test] fn $name() { super::$name("fjall"); })*
        }
        mod on_memory {
            $(#[test] fn $name() { super::$name("memory"); })*
        }
        mod on_sled {
            $(#[test] fn $name() { super::$name("sled"); })*
        }
        $crate::on_every_server! { $($name)* }
    };
}

/// Makes of each function a test on every engine behind a network.
#[macro_export]
macro_rules! on_every_server {
    ($($name:ident)*) => {
        $crate::on_server! { on_etcd "etcd" $($name)* }
        $crate::on_server! { on_mysql "mysql" $($name)* }
        $crate::on_server! { on_postgres "postgres" $($name)* }
        $crate::on_server! { on_redis "redis" $($name)* }
    };
}

/// Makes of each function a test on one engine, if its server is there.
#[macro_export]
macro_rules! on_server {
    ($module:ident $engine:literal $($name:ident)*) => {
        mod $module {
            $(#[test] fn $name() {
                if $crate::servers::is_there($engine, stringify!($name)) { super::$name($engine); }
            })*
        }
    };
}

/// Runs `f` on so many threads at once and waits for all.
pub fn on_threads(threads: usize, f: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let f = &f;
            scope.spawn(move || f(thread));
        }
    });
}

/// Every code block of the README and the guide, compiled and run.
#[cfg(doctest)]
mod docs {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/guide/objects.md")]
    struct Objects;
    #[doc = include_str!("../../docs/guide/evolution.md")]
    struct Evolution;
    #[doc = include_str!("../../docs/guide/async.md")]
    struct Async;
    #[doc = include_str!("../../docs/guide/transactions.md")]
    struct Transactions;
    #[doc = include_str!("../../docs/guide/side-effects.md")]
    struct SideEffects;
    #[doc = include_str!("../../docs/guide/errors.md")]
    struct Errors;
    #[doc = include_str!("../../docs/guide/durability.md")]
    struct Durability;
    #[doc = include_str!("../../docs/guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../../docs/guide/engines.md")]
    struct Engines;
    #[doc = include_str!("../../docs/guide/watching.md")]
    struct Watching;
    #[doc = include_str!("../../docs/guide/tool.md")]
    struct Tool;
}
