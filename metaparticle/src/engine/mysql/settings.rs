//! What the server's settings allow, and which of them keep less than is promised.

use std::collections::HashMap;

use mysql_async::{Row, Value};

use super::connection::{Connection, failure_of};
use super::steps::Batch;
use crate::engine::Limits;
use crate::engine::remote::Failure;
use crate::error::{Error, ErrorKind};

/// A key must fit into an index; a record is as large as on other engines, if the server takes so much at once.
const LIMITS: Limits = Limits { key_bytes: 1024, record_bytes: 8 << 20, commit_bytes: 32 << 20, commit_records: 4096 };

/// What a message must have room for beside a record, and at the least.
const PACKET: (usize, usize) = (64 << 10, 1 << 20);

/// Servers that speak the protocol, but do not lock gaps, so that phantoms would go unnoticed.
const WITHOUT_GAP_LOCKS: [&str; 2] = ["TiDB", "Vitess"];

/// What this server can take. Refuses one that could not keep the promises at all.
pub(super) async fn limits(connection: &mut Connection) -> Result<Limits, Failure> {
    let batch = Batch::of("SELECT VERSION(), @@max_allowed_packet".to_owned());
    let rows = connection.query(&batch).await;
    let rows = rows.map_err(|stopped| failure_of(stopped.error, "the server does not say what it is"))?;
    limits_of(rows.into_iter().flatten().next().map(words).unwrap_or_default())
}

/// What a server can take that says this of its version and its `max_allowed_packet`.
pub(super) fn limits_of(mut row: Vec<String>) -> Result<Limits, Failure> {
    let packet = row.pop().and_then(|bytes| bytes.parse::<usize>().ok()).unwrap_or_default();
    let version = row.pop().unwrap_or_default();
    if WITHOUT_GAP_LOCKS.iter().any(|name| version.to_lowercase().contains(&name.to_lowercase())) {
        return Err(refused(format!("the server is {version}, which does not lock ranges; it would miss conflicts")));
    }
    if packet < PACKET.1 {
        return Err(refused(format!("the server's `max_allowed_packet` is {packet}; set {} at the least", PACKET.1)));
    }
    Ok(Limits { record_bytes: LIMITS.record_bytes.min(packet - PACKET.0), ..LIMITS })
}

fn refused(message: String) -> Failure {
    Failure::Final(Error::new(ErrorKind::Setup, message))
}

/// Which settings of the server keep less than is promised.
pub(super) async fn warnings(connection: &mut Connection) -> Vec<String> {
    const NAMES: &str = "'innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'log_bin', 'sync_binlog', 'wsrep_on', \
        'group_replication_single_primary_mode', 'rpl_semi_sync_master_enabled', 'rpl_semi_sync_master_wait_point', \
        'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_wait_point'";
    let batch = Batch::of(format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({NAMES})"));
    let Ok(rows) = connection.query(&batch).await else {
        return vec!["the server does not say how durable commits are".to_owned()];
    };
    let pair = |row| <[String; 2]>::try_from(words(row)).ok().map(|[name, value]| (name, value));
    warnings_of(&rows.into_iter().flatten().filter_map(pair).collect())
}

fn warnings_of(settings: &HashMap<String, String>) -> Vec<String> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    let mut warnings = Vec::new();
    let mut warn = |message: String| warnings.push(message);
    match settings.get("innodb_flush_log_at_trx_commit").map(|value| &**value) {
        Some("1" | "3") | None => {}
        Some(other) => {
            warn(format!("a crash may lose the last commits (`innodb_flush_log_at_trx_commit = {other}`); with 1 it does not"));
        }
    }
    if is("innodb_doublewrite", "OFF") {
        warn("a power cut may damage records (`innodb_doublewrite = OFF`), unless the disk writes whole pages".to_owned());
    }
    if is("log_bin", "ON") && settings.get("sync_binlog").is_some_and(|value| value != "1") {
        warn("a power cut may lose the last commits (the binary log is on, and `sync_binlog` is not 1)".to_owned());
    }
    if is("wsrep_on", "ON") || is("group_replication_single_primary_mode", "OFF") {
        let message = "transactions on several nodes of the cluster do not see each other's reads: between nodes there is snapshot \
                       isolation at most, and write skew goes unnoticed; have all programs use the same node";
        warn(message.to_owned());
    }
    for name in ["master", "source"] {
        let [enabled, point] = ["enabled", "wait_point"].map(|setting| format!("rpl_semi_sync_{name}_{setting}"));
        if is(&enabled, "ON") && is(&point, "AFTER_COMMIT") {
            warn(format!("what was read may be lost when a replica takes over (`{point} = AFTER_COMMIT`); set AFTER_SYNC"));
        }
    }
    warnings
}

/// The columns of a row that has no bytes in it.
pub(super) fn words(row: Row) -> Vec<String> {
    let word = |value| match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    row.unwrap().into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::warnings_of;

    fn number_of_warnings(settings: &[(&str, &str)]) -> usize {
        warnings_of(&settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()).len()
    }

    #[test]
    fn settings_that_lose_commits_are_warned_of() {
        assert_eq!(number_of_warnings(&[("innodb_flush_log_at_trx_commit", "1"), ("log_bin", "OFF"), ("sync_binlog", "0")]), 0);
        assert_eq!(number_of_warnings(&[("innodb_flush_log_at_trx_commit", "2")]), 1);
        assert_eq!(number_of_warnings(&[("innodb_flush_log_at_trx_commit", "0"), ("innodb_doublewrite", "OFF")]), 2);
        assert_eq!(number_of_warnings(&[("log_bin", "ON"), ("sync_binlog", "0")]), 1);
        assert_eq!(number_of_warnings(&[("log_bin", "ON"), ("sync_binlog", "1")]), 0);
    }

    #[test]
    fn clusters_with_several_writers_are_warned_of() {
        assert_eq!(number_of_warnings(&[("wsrep_on", "OFF"), ("group_replication_single_primary_mode", "ON")]), 0);
        assert_eq!(number_of_warnings(&[("wsrep_on", "ON")]), 1);
        assert_eq!(number_of_warnings(&[("group_replication_single_primary_mode", "OFF")]), 1);
        let semi = |point| [("rpl_semi_sync_master_enabled", "ON"), ("rpl_semi_sync_master_wait_point", point)];
        assert_eq!(number_of_warnings(&semi("AFTER_COMMIT")), 1);
        assert_eq!(number_of_warnings(&semi("AFTER_SYNC")), 0);
    }
}
