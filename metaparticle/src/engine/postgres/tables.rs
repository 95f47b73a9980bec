//! The two tables, and every SQL text. Keys and records are parameters, never text.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::connection::{Connection, failure_of};
use crate::engine::remote::{Failure, IDS_KEPT};
use crate::error::{Error, ErrorKind};

/// How many ids are forgotten in one go: far fewer than a statement has time for.
const FORGOTTEN: u64 = 250;

/// SQL for tables of one name.
pub(super) struct Sql {
    table: String,
    make: String,
    /// Parameters: keys; keys followed by versions, of which the bytes are not wanted.
    pub(super) records: String,
    /// Parameters: first key, first key after.
    pub(super) keys: String,
    /// Parameters: first key, first key after, how many.
    pub(super) page: String,
    /// Parameter: a commit's id.
    pub(super) id: String,
    /// Parameters: a commit's id, whether it commits.
    pub(super) claim: String,
    /// Parameters: keys, records, version.
    pub(super) write: String,
    /// Parameter: keys.
    pub(super) remove: String,
    forget: String,
}

/// What the columns of the two tables are called, in alphabetical order.
const COLUMNS: [&str; 2] = ["bytes,key,version", "applied,id,made"];

impl Sql {
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// `table` is a plain name, so it needs no quoting; it is quoted for being a word of SQL.
    pub(super) fn of(table: &str) -> Self {
        let (t, c) = (format!("\"{table}\""), format!("\"{table}_commits\""));
        Self {
            table: table.to_owned(),
            make: format!(
                "CREATE TABLE IF NOT EXISTS {t} (key bytea PRIMARY KEY, version bytea NOT NULL, bytes bytea NOT NULL); \
                 CREATE TABLE IF NOT EXISTS {c} \
                 (id bytea PRIMARY KEY, applied boolean NOT NULL, made timestamptz NOT NULL DEFAULT now()); \
                 CREATE INDEX IF NOT EXISTS \"{table}_commits_made\" ON {c} (made)"
            ),
            records: format!(
                "SELECT key, version, CASE WHEN (key || version) = ANY($2::bytea[]) THEN NULL ELSE bytes END \
                 FROM {t} WHERE key = ANY($1::bytea[])"
            ),
            keys: format!("SELECT key FROM {t} WHERE key >= $1 AND key < $2 ORDER BY key"),
            page: format!("SELECT key, version, bytes FROM {t} WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3"),
            id: format!("SELECT applied FROM {c} WHERE id = $1"),
            claim: format!("INSERT INTO {c} (id, applied) VALUES ($1, $2)"),
            write: format!(
                "INSERT INTO {t} (key, version, bytes) \
                 SELECT w.k, $3::bytea, w.b FROM unnest($1::bytea[], $2::bytea[]) AS w (k, b) \
                 ON CONFLICT (key) DO UPDATE SET version = excluded.version, bytes = excluded.bytes"
            ),
            remove: format!("DELETE FROM {t} WHERE key = ANY($1::bytea[])"),
            // Not serializable: a look at all ids would conflict with every commit.
            forget: format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; \
                 DELETE FROM {c} WHERE id = ANY(ARRAY( \
                 SELECT id FROM {c} WHERE made < now() - interval '{} seconds' LIMIT {FORGOTTEN})); \
                 COMMIT",
                IDS_KEPT.as_secs()
            ),
        }
    }
}

/// Makes the tables if they are not there, which takes a privilege; refuses tables of these names that are not ours.
pub(super) async fn make(client: &Client, sql: &Sql) -> Result<(), Failure> {
    if are_there(client, sql).await? {
        return Ok(());
    }
    client.batch_execute(&sql.make).await.map_err(|error| match error.code() {
        // Another process is making them at this moment.
        Some(&SqlState::UNIQUE_VIOLATION | &SqlState::DUPLICATE_TABLE | &SqlState::DUPLICATE_OBJECT) => {
            crate::engine::remote::again("the tables are being made by another process", error)
        }
        _ => failure_of(error, "the tables cannot be made"),
    })?;
    match are_there(client, sql).await? {
        true => Ok(()),
        false => Err(refused("the tables are there, but not for this user".to_owned())),
    }
}

/// Whether both are there; an error if one of these names is something else.
async fn are_there(client: &Client, sql: &Sql) -> Result<bool, Failure> {
    let names = [sql.table.clone(), format!("{}_commits", sql.table)];
    let look = "SELECT column_name::text FROM information_schema.columns \
                WHERE table_name = $1 AND table_schema = current_schema() ORDER BY column_name";
    let mut there = 0;
    for (name, expected) in names.iter().zip(COLUMNS) {
        let rows = client.query(look, &[name]).await.map_err(|error| failure_of(error, "the tables cannot be looked at"))?;
        let columns: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let columns = columns.map_err(|error| failure_of(error, "the tables cannot be looked at"))?;
        if !columns.is_empty() && columns.join(",") != expected {
            return Err(refused(format!(
                "the table `{name}` is not a metaparticle store; name another one in the URL: `?table=name`"
            )));
        }
        there += usize::from(!columns.is_empty());
    }
    Ok(there == names.len())
}

fn refused(message: String) -> Failure {
    Failure::Final(Error::new(ErrorKind::Setup, message))
}

/// Which settings of the server keep less than is promised.
pub(super) async fn warnings(client: &Client) -> Vec<String> {
    // Other servers than PostgreSQL may not know the setting; then there is nothing to tell.
    let row = client.query_one("SELECT current_setting('fsync', true)", &[]).await;
    match row.as_ref().map(|row| row.try_get(0)) {
        Ok(Ok(Some("off"))) => vec!["the server's `fsync` is off: a power cut may lose or damage everything".to_owned()],
        _ => Vec::new(),
    }
}

/// Forgets ids of commits that nobody can ask about any more; whether there may be others.
pub(super) async fn forget_ids(connection: &Connection, sql: &Sql) -> Result<bool, tokio_postgres::Error> {
    let done = connection.client.simple_query(&sql.forget).await?;
    let rows = |message: &SimpleQueryMessage| if let SimpleQueryMessage::CommandComplete(rows) = message { *rows } else { 0 };
    Ok(done.iter().map(rows).sum::<u64>() >= FORGOTTEN)
}
