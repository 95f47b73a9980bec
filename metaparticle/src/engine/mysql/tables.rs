//! The two tables.

use mysql_async::{Row, Value};

use super::connection::{Connection, failure_of};
use super::settings::words;
use super::sql::{FORGOTTEN, Sql};
use super::steps::Batch;
use crate::engine::remote::{Failure, IDS_KEPT};
use crate::error::{Error, ErrorKind};

/// What the columns of the two tables are, in alphabetical order.
const COLUMNS: [&str; 2] = ["bytes longblob,key varbinary,version binary", "applied tinyint,id binary,made bigint"];

/// Makes the tables if they are not there; refuses tables of these names that are not ours.
pub(super) async fn make(connection: &mut Connection, sql: &Sql) -> Result<(), Failure> {
    if are_there(connection, sql).await? {
        return Ok(());
    }
    let (t, c) = (&sql.table, &sql.commits);
    let engine = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC";
    let mut make = format!(
        "CREATE TABLE IF NOT EXISTS {t} \
         (`key` VARBINARY(1024) NOT NULL PRIMARY KEY, version BINARY(16) NOT NULL, bytes LONGBLOB NOT NULL) {engine}; "
    );
    make.push_str(&format!(
        "CREATE TABLE IF NOT EXISTS {c} \
         (id BINARY(16) NOT NULL PRIMARY KEY, applied BOOLEAN NOT NULL, made BIGINT NOT NULL, KEY (made)) {engine}"
    ));
    let made = connection.query(&Batch::of(make)).await;
    made.map_err(|stopped| failure_of(stopped.error, "the tables cannot be made"))?;
    match are_there(connection, sql).await? {
        true => Ok(()),
        false => Err(Failure::Final(Error::new(ErrorKind::Setup, "the tables were made, but are not there"))),
    }
}

/// Whether both are there; an error if one of these names is something else.
async fn are_there(connection: &mut Connection, sql: &Sql) -> Result<bool, Failure> {
    let [table, commits] = sql.names();
    let text = format!(
        "SELECT t.TABLE_NAME, COALESCE(t.ENGINE, ''), CONCAT(c.COLUMN_NAME, ' ', c.DATA_TYPE) \
         FROM information_schema.TABLES t JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME) \
         WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME IN ({table}, {commits}) ORDER BY c.COLUMN_NAME"
    );
    let rows = connection.query(&Batch::of(text)).await;
    let rows = rows.map_err(|stopped| failure_of(stopped.error, "the tables cannot be looked at"))?;
    let rows: Vec<[String; 3]> = rows.into_iter().flatten().filter_map(|row| words(row).try_into().ok()).collect();
    let mut there = 0;
    for (name, expected) in [table, commits].iter().zip(COLUMNS) {
        let name = name.trim_matches('\'');
        let columns: Vec<_> = rows.iter().filter(|[table, ..]| table == name).collect();
        let Some([_, engine, _]) = columns.first() else { continue };
        let found: Vec<_> = columns.iter().map(|[.., column]| &**column).collect();
        if found.join(",") != expected {
            return Err(refused(&format!(
                "the table `{name}` is not a metaparticle store; name another one in the URL: `?table=name`"
            )));
        }
        if engine != "InnoDB" {
            return Err(refused(&format!(
                "the table `{name}` is kept by {engine}, which has no transactions; only InnoDB will do"
            )));
        }
        there += 1;
    }
    Ok(there == 2)
}

fn refused(message: &str) -> Failure {
    Failure::Final(Error::new(ErrorKind::Setup, message.to_owned()))
}

/// Forgets ids of commits that nobody can ask about any more, a few at a time: found without locks, and deleted by their names, so that
/// no commit waits for it. Whether there may be others.
pub(super) async fn forget_ids(connection: &mut Connection, sql: &Sql) -> Result<bool, mysql_async::Error> {
    let old = connection.query(&Batch::of(sql.old_ids(IDS_KEPT.as_secs()))).await.map_err(|stopped| stopped.error)?;
    let ids: Vec<Vec<u8>> = old.into_iter().flatten().filter_map(id).collect();
    if !ids.is_empty() {
        connection.query(&Batch::of(sql.forget(&ids))).await.map_err(|stopped| stopped.error)?;
    }
    Ok(ids.len() >= FORGOTTEN)
}

fn id(row: Row) -> Option<Vec<u8>> {
    match row.unwrap().pop() {
        Some(Value::Bytes(id)) => Some(id),
        _ => None,
    }
}
