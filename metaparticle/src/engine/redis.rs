//! The engine `redis:`: records in Redis or Valkey, for several processes.
//!
//! Each minitransaction is one Lua script, sent by its hash. A store's keys all begin with its prefix in braces, the hash tag that
//! keeps them in one slot of a cluster: `{prefix}:r:` and a key for a record (16 bytes of version, then the record), `{prefix}:i` for
//! the sorted set of all keys, `{prefix}:c:` and an id for a commit of the last hour, `{prefix}:format` for what wrote all this.
//! Versions are commit ids.
//!
//! It is as durable as the server's settings make it, and loses commits when a replica takes over: Redis replicates after it has
//! answered. It is not for what must survive that.

mod connection;
mod listen;
mod minitransaction;

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;

use self::connection::{Config, Connection, Link};
use super::remote::{Ask, Failure, Remote, Server, TellsNothing, Told};
use super::{Limits, Watchers};
use crate::error::{Error, ErrorKind, Result};

/// A key is as long as on other engines, so that a store can be moved; a server stops for as long as it runs a script.
const LIMITS: Limits = Limits { key_bytes: 1024, record_bytes: 8 << 20, commit_bytes: 32 << 20, commit_records: 4096 };

/// The stored form that is written.
const FORMAT: &[u8] = b"metaparticle 1";

/// Opens the store at `url`, whose server must be there within `patience`.
pub(crate) fn open(url: &str, patience: Duration) -> Result<Remote<Redis>> {
    let config = Arc::new(Config::of(url)?);
    let link = Arc::new(Link::new(config.clone()));
    Remote::open(patience, move || Redis::connect(config.clone(), link.clone()))
}

/// A server, and the connection to it.
pub(crate) struct Redis {
    config: Arc<Config>,
    link: Arc<Link>,
    prefix: String,
    warnings: Vec<String>,
}

impl Redis {
    async fn connect(config: Arc<Config>, link: Arc<Link>) -> Result<Self, Failure> {
        let prefix = format!("{{{}}}:", config.prefix);
        let connection = link.connection().await?;
        let opened = match claim_prefix(&connection, &prefix).await {
            Ok(Ok(())) => warnings(&connection).await,
            Ok(Err(error)) => Ok(Err(error)),
            Err(error) => Err(error),
        };
        let warnings = match opened {
            Ok(warnings) => warnings.map_err(Failure::Final)?,
            // Another node of a cluster may have the keys.
            Err(error) => return Err(link.follow(error).await),
        };
        connection.done();
        Ok(Self { config, link, prefix, warnings })
    }
}

impl Server for Redis {
    async fn ask(&self, ask: &Ask) -> Result<Told, Failure> {
        // If this future is dropped before the end, the connection counts as broken.
        let connection = self.link.connection().await?;
        let told = minitransaction::run(&connection, &self.prefix, ask).await;
        match &told {
            Err(error) if connection::is_broken(error) => {}
            _ => connection.done(),
        }
        match told {
            Ok(reply) => minitransaction::told(reply, ask),
            Err(error) => Err(self.link.failure(error, ask).await),
        }
    }

    async fn listen(&self, watchers: &Watchers, is_heard: impl Fn() + Send + Sync) -> Result<TellsNothing, Failure> {
        listen::listen(&self.config, &self.prefix, watchers, is_heard).await
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// Marks the prefix as ours; refuses one that something else is kept under.
async fn claim_prefix(connection: &Connection, prefix: &str) -> Result<Result<()>, RedisError> {
    let mark = format!("{prefix}format");
    let _: redis::Value = connection.ask(redis::cmd("SET").arg(&mark).arg(FORMAT).arg("NX")).await?;
    let found: Option<Vec<u8>> = connection.ask(redis::cmd("GET").arg(&mark)).await?;
    let kind: String = connection.ask(redis::cmd("TYPE").arg(format!("{prefix}i"))).await?;
    if found.as_deref() == Some(FORMAT) && matches!(&*kind, "none" | "zset") {
        return Ok(Ok(()));
    }
    let message = format!("what is under `{prefix}` is not a metaparticle store; name another prefix in the URL: `?prefix=name`");
    Ok(Err(Error::new(ErrorKind::Setup, message)))
}

/// Which settings of the server keep less than is promised. Settings under which it loses data in normal use are an error.
async fn warnings(connection: &Connection) -> Result<Result<Vec<String>>, RedisError> {
    let mut warnings = Vec::new();
    match memory(connection).await {
        Some((memory, policy)) if memory != "0" && policy != "noeviction" => {
            let message =
                format!("the server drops data when its memory is full (`maxmemory-policy {policy}`); set `noeviction`");
            return Ok(Err(Error::new(ErrorKind::Setup, message)));
        }
        Some(_) => {}
        None => {
            let message =
                "the server does not say whether it drops data when its memory is full (`CONFIG GET` and `INFO` are refused)";
            warnings.push(message.to_owned());
        }
    }
    let (append, sync) = (setting(connection, "appendonly").await, setting(connection, "appendfsync").await);
    match (append.as_deref(), sync.as_deref()) {
        (Some("yes"), Some("always")) => {}
        (Some("yes"), Some(sync)) => {
            let message =
                format!("a crash may lose the last commits (`appendfsync {sync}`); with `appendfsync always` it does not");
            warnings.push(message);
        }
        (Some(_), _) => warnings.push("the server keeps no log of commits, a crash may lose many (`appendonly no`)".to_owned()),
        (None, _) => warnings.push("the server does not say how durable commits are (`CONFIG GET` is refused)".to_owned()),
    }
    Ok(Ok(warnings))
}

/// How much memory the server may take, and what it does then.
async fn memory(connection: &Connection) -> Option<(String, String)> {
    if let (Some(memory), Some(policy)) = (setting(connection, "maxmemory").await, setting(connection, "maxmemory-policy").await)
    {
        return Some((memory, policy));
    }
    // Where settings may not be asked for, as with many who run servers for others.
    let info: String = connection.ask(redis::cmd("INFO").arg("memory")).await.ok()?;
    let value = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::to_owned);
    Some((value("maxmemory")?, value("maxmemory_policy")?))
}

async fn setting(connection: &Connection, name: &str) -> Option<String> {
    let pair: Vec<String> = connection.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await.ok()?;
    pair.into_iter().nth(1)
}

/// What is wrong with a URL.
#[cfg(fuzzing)]
pub(crate) fn check_url(url: &str) -> Result<()> {
    Config::of(url).map(drop)
}

#[cfg(fuzzing)]
pub(crate) fn read_answer(answer: ::redis::Value, ask: &Ask) -> Result<Option<super::remote::Found>, Failure> {
    match minitransaction::told(answer, ask)? {
        Told::Refused => Ok(None),
        Told::Found(found) => Ok(Some(found)),
        #[cfg(feature = "etcd")]
        Told::At(_, found) => Ok(Some(found)),
    }
}

#[cfg(fuzzing)]
pub(crate) use self::listen::keys_of as read_message;
