//! The leases under which commit ids, and marks of removed records, last for an hour and go by themselves.
//!
//! A lease is shared by what is written within a few minutes. It is never renewed: it lasts as long as the last key needs it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connection::Connection;
use super::errors::Trouble;
use crate::engine::remote::IDS_KEPT;

/// How long a lease takes new keys, and how many: at its end all go in one step, during which the server does nothing else.
const TAKES: (Duration, usize) = (Duration::from_secs(600), 1000);

/// What a clock may be wrong by, and a request take.
const MARGIN: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Leases {
    current: Mutex<Option<Lease>>,
}

struct Lease {
    id: i64,
    since: Instant,
    keys: usize,
}

impl Leases {
    /// A lease for so many more keys.
    pub(super) async fn take(&self, connection: &Connection, keys: usize) -> Result<i64, Trouble> {
        let mut current = self.current.lock().await;
        if let Some(lease) = &mut *current
            && lease.since.elapsed() < TAKES.0
            && lease.keys + keys <= TAKES.1
        {
            lease.keys += keys;
            return Ok(lease.id);
        }
        let since = Instant::now();
        let seconds = (IDS_KEPT + TAKES.0 + MARGIN).as_secs();
        let id = connection.grant(i64::try_from(seconds).unwrap_or(i64::MAX)).await?;
        *current = Some(Lease { id, since, keys });
        Ok(id)
    }

    /// The server does not have this lease any more.
    pub(super) async fn forget(&self, id: i64) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|lease| lease.id == id) {
            *current = None;
        }
    }
}
