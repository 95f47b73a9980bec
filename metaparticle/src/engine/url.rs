//! Which engine a URL means.

use super::Engine;
use super::embedded::Embedded;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Settings;

/// Opens the engine that `url` names.
pub(crate) fn open(url: &str, settings: &Settings) -> Result<Box<dyn Engine>> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Box::new(Embedded::in_memory())),
        Some(("memory", rest)) => {
            Err(unusable(url, &format!("a memory store has no name, so nothing can follow `memory:`, and `{rest}` does")))
        }
        Some(("sled", path)) => open_sled(url, path, settings),
        Some(("fjall", path)) => open_fjall(url, path, settings),
        Some(("mysql" | "mariadb", rest)) if rest.starts_with("//") => open_mysql(url, settings),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => open_postgres(url, settings),
        Some(("redis" | "rediss", rest)) if rest.starts_with("//") => open_redis(url, settings),
        Some(("etcd" | "etcds", rest)) if rest.starts_with("//") => open_etcd(url, settings),
        // What follows may hold a password, so it is no path.
        Some((scheme, _)) if is_of_server(scheme) => Err(unusable(scheme, &format!("write `{scheme}://` and what follows"))),
        // A word that is none of these may be one of them misspelt. A letter alone is a drive of Windows.
        Some((scheme, rest)) if rest.starts_with("//") || is_word(scheme) => {
            let write = "write a path (with `./` before it, if it has a colon), `sled:path` or `memory:`";
            Err(unusable(scheme, &format!("`{scheme}:` is not an engine; {write}")))
        }
        _ => open_sled(url, url, settings),
    }
}

fn is_word(scheme: &str) -> bool {
    scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_of_server(scheme: &str) -> bool {
    matches!(scheme, "etcd" | "etcds" | "mariadb" | "mysql" | "postgres" | "postgresql" | "redis" | "rediss")
}

/// A path or URL without what may be secret: a server's user, password and options.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        return scheme.filter(|scheme| is_of_server(scheme)).unwrap_or(url).to_owned();
    };
    // A password may hold any of these characters, so what follows the last `@` is what is surely none of it.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    format!("{scheme}://{rest}")
}

fn unusable(url: &str, why: &str) -> Error {
    // A URL that cannot be used may hold a password anywhere.
    let shown = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    Error::new(ErrorKind::Setup, format!("the store `{shown}` cannot be opened: {why}"))
}

/// Opens an engine in a folder; an error, if it was not built in.
macro_rules! folder {
    ($open:ident, $library:ident, $feature:literal, $example:literal) => {
        #[cfg(feature = $feature)]
        fn $open(url: &str, path: &str, settings: &Settings) -> Result<Box<dyn Engine>> {
            if path.is_empty() {
                return Err(unusable(url, concat!("it has no path; write for example `", $example, "`")));
            }
            let open_map = |cache_bytes| super::embedded::$library::open(path.as_ref(), cache_bytes);
            Ok(Box::new(super::embedded::in_folder(open_map, settings.cache_bytes, settings.flush_interval)?))
        }

        #[cfg(not(feature = $feature))]
        fn $open(url: &str, _path: &str, _settings: &Settings) -> Result<Box<dyn Engine>> {
            Err(without(url, $feature))
        }
    };
}

folder!(open_sled, sled, "sled", "my.db");
folder!(open_fjall, fjall, "fjall", "fjall:my.db");

/// Opens an engine behind a network; an error, if it was not built in.
macro_rules! server {
    ($open:ident, $engine:ident, $feature:literal) => {
        #[cfg(feature = $feature)]
        fn $open(url: &str, settings: &Settings) -> Result<Box<dyn Engine>> {
            let engine = super::$engine::open(url, settings.retry.timeout).map_err(|error| error.within(shown(url)))?;
            Ok(Box::new(engine))
        }

        #[cfg(not(feature = $feature))]
        fn $open(url: &str, _settings: &Settings) -> Result<Box<dyn Engine>> {
            Err(without(url, $feature))
        }
    };
}

server!(open_etcd, etcd, "etcd");
server!(open_mysql, mysql, "mysql");
server!(open_postgres, postgres, "postgres");
server!(open_redis, redis, "redis");

#[cfg(not(all(
    feature = "sled",
    feature = "fjall",
    feature = "etcd",
    feature = "mysql",
    feature = "postgres",
    feature = "redis"
)))]
fn without(url: &str, feature: &str) -> Error {
    let add = format!("`cargo add metaparticle --features {feature}`");
    unusable(url, &format!("metaparticle was built without its feature `{feature}`; add it: {add}"))
}
