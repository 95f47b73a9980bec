//! The engine `etcd:`: records in an etcd cluster, for several processes, where no single machine may be needed.
//!
//! Each commit is one `Txn`, which etcd carries out as one step of its log. A store's keys all begin with its prefix and `/`:
//! `r/` and a record key for a record, `c/` and an id for a commit of the last hour, `x/` and a record key for a record that was
//! removed in the last hour, `gate` while a large commit keeps others away, `format` for what wrote all this. A record's version is its `mod_revision`.
//!
//! All reads are linearizable. It is for small and valuable objects: every member keeps everything, and every change for a while.

mod config;
mod connection;
mod errors;
mod gate;
mod guards;
mod keys;
mod leases;
mod listen;
mod look;
mod minitransaction;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use self::config::Config;
use self::connection::Link;
use self::keys::Keys;
use self::leases::Leases;
use super::remote::{Ask, Failure, Remote, Server, TellsNothing, Told};
use super::{Limits, Watchers};
use crate::error::Result;

/// How many entries each list of a request has at most (`--max-txn-ops`). What is within an entry has so many fewer.
const OPERATIONS: usize = 128;

/// What the writes of a request may take of etcd's limit (`--max-request-bytes`); the rest is for what it compares: two keys each.
const REQUEST_BYTES: usize = 1_572_864 - OPERATIONS * 2 * 1100;

/// A commit of these, and all that it can compare, fits into a request.
const LIMITS: Limits =
    Limits { key_bytes: 1024, record_bytes: 1 << 20, commit_bytes: (1 << 20) + (64 << 10), commit_records: 1000 };

/// Opens the store at `url`, whose cluster must be there within `patience`.
pub(crate) fn open(url: &str, patience: Duration) -> Result<Remote<Etcd>> {
    let config = Arc::new(Config::of(url)?);
    let link = Arc::new(Link::new(config.clone()));
    Remote::open(patience, move || Etcd::connect(config.clone(), link.clone()))
}

/// A cluster, and the connection to it.
pub(crate) struct Etcd {
    link: Arc<Link>,
    keys: Keys,
    leases: Leases,
    warnings: Vec<String>,
}

impl Etcd {
    async fn connect(config: Arc<Config>, link: Arc<Link>) -> Result<Self, Failure> {
        let keys = Keys::new(&config.prefix);
        let connection = link.connection().await?;
        setup::claim_prefix(&connection, &keys, &config.prefix).await?;
        let warnings = setup::warnings(&connection).await;
        connection.done();
        Ok(Self { link, keys, leases: Leases::default(), warnings })
    }
}

impl Server for Etcd {
    async fn ask(&self, ask: &Ask) -> Result<Told, Failure> {
        // If this future is dropped before the end, the connection counts as broken.
        let connection = self.link.connection().await?;
        let told = minitransaction::run(self, &connection, ask).await;
        connection.done();
        told
    }

    async fn listen(&self, watchers: &Watchers, is_heard: impl Fn() + Send + Sync) -> Result<TellsNothing, Failure> {
        listen::listen(self, watchers, is_heard).await
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// What is wrong with a URL.
#[cfg(fuzzing)]
pub(crate) fn check_url(url: &str) -> Result<()> {
    Config::of(url).map(drop)
}

/// The prefix that answers are read with.
#[cfg(fuzzing)]
const PREFIX: &str = "p";

#[cfg(fuzzing)]
pub(crate) fn read_answers(answers: Vec<etcd_client::GetResponse>, ask: &Ask) -> Result<Option<super::remote::Found>, Failure> {
    look::found(&Keys::new(PREFIX), ask, answers).map(Some)
}

#[cfg(fuzzing)]
pub(crate) fn read_commit(answer: etcd_client::TxnResponse) -> Result<(), Failure> {
    let answer = connection::whole(answer).map_err(errors::Trouble::from)?;
    minitransaction::claim(&answer).map(drop)
}

#[cfg(fuzzing)]
pub(crate) use self::setup::loses_data as read_version;
