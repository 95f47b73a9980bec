//! Which engine a URL means.

use super::Engine;
use super::embedded::Embedded;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Settings;

/// Engines that have a name but are not part of this version.
const PLANNED: [&str; 7] = ["redis", "rediss", "postgres", "postgresql", "mysql", "mariadb", "etcd"];

/// Opens the engine that `url` names.
pub(crate) fn open(url: &str, settings: &Settings) -> Result<Box<dyn Engine>> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Box::new(Embedded::in_memory())),
        Some(("memory", rest)) => {
            Err(unusable(url, &format!("a memory store has no name, so nothing can follow `memory:`, and `{rest}` does")))
        }
        Some(("sled", path)) => open_sled(url, path, settings),
        Some((scheme, _)) if PLANNED.contains(&scheme) => {
            Err(unusable(url, "this version of metaparticle has the engines `sled:` and `memory:` only"))
        }
        Some((scheme, rest)) if rest.starts_with("//") => {
            Err(unusable(url, &format!("`{scheme}:` is not an engine; write a path, `sled:path` or `memory:`")))
        }
        _ => open_sled(url, url, settings),
    }
}

fn unusable(url: &str, why: &str) -> Error {
    // A URL may hold a password.
    let shown = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    Error::new(ErrorKind::Setup, format!("the store `{shown}` cannot be opened: {why}"))
}

#[cfg(feature = "sled")]
fn open_sled(url: &str, path: &str, settings: &Settings) -> Result<Box<dyn Engine>> {
    if path.is_empty() {
        return Err(unusable(url, "it has no path; write for example `my.db`"));
    }
    let map = super::embedded::sled::SledMap::open(path.as_ref(), settings.cache_bytes)?;
    Ok(Box::new(Embedded::over(std::sync::Arc::new(map), settings.flush_interval)?))
}

#[cfg(not(feature = "sled"))]
fn open_sled(url: &str, _path: &str, _settings: &Settings) -> Result<Box<dyn Engine>> {
    Err(unusable(url, "metaparticle was built without its feature `sled`; add the feature, or open `memory:`"))
}
