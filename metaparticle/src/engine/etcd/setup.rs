//! What is done when a store is opened: its prefix is claimed, and the server is asked what is wrong with it.

use etcd_client::{Compare, CompareOp, GetOptions, GetResponse, Txn, TxnOp};

use super::connection::Connection;
use super::keys::Keys;
use super::look::gets_of;
use crate::engine::remote::Failure;
use crate::error::{Error, ErrorKind};

/// The stored form that is written.
const FORMAT: &[u8] = b"metaparticle 1";

/// Marks the prefix as ours; refuses one that something else is kept under.
pub(super) async fn claim_prefix(connection: &Connection, keys: &Keys, prefix: &str) -> Result<(), Failure> {
    // Looked at first, because a server without space refuses whatever might write.
    let found = connection.get(keys.format(), GetOptions::new()).await?;
    if is_mark(&found) {
        return Ok(());
    }
    let (start, end) = keys.all();
    // Every key that is there was made at a revision above zero.
    let empty = Compare::create_revision(start, CompareOp::Less, 1).with_range(end);
    let mark = TxnOp::put(keys.format(), FORMAT, None);
    let look = TxnOp::get(keys.format(), None);
    let answer = connection.txn(Txn::new().when(vec![empty]).and_then(vec![mark]).or_else(vec![look])).await?;
    if answer.succeeded() || gets_of(&answer).first().is_some_and(is_mark) {
        return Ok(());
    }
    let message =
        format!("what is under `{prefix}/` is not a metaparticle store; name another prefix in the URL: `?prefix=name`");
    Err(Failure::Final(Error::new(ErrorKind::Setup, message)))
}

fn is_mark(found: &GetResponse) -> bool {
    found.kvs().first().is_some_and(|mark| mark.value() == FORMAT)
}

/// What about the server keeps less than is promised.
pub(super) async fn warnings(connection: &Connection) -> Vec<String> {
    let Ok(status) = connection.status().await else {
        return vec!["the server does not say which version it is, and which alarms it has".to_owned()];
    };
    let mut warnings = Vec::new();
    if loses_data(status.version()) {
        let version = status.version();
        warnings.push(format!(
            "etcd {version} may lose or mix up data after a crash; its makers have mended that in 3.4.22 and 3.5.6"
        ));
    }
    // They come with the text of the alarm.
    warnings.extend(status.errors().iter().map(|error| format!("the server says: {error}")));
    warnings
}

/// Versions whose makers advise against them. One that cannot be read is not one of them.
pub(crate) fn loses_data(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map_while(|number| number.parse().ok());
    let mut next = || numbers.next();
    match (next(), next(), next()) {
        (Some(3), Some(minor @ ..=5), Some(patch)) => minor < 4 || patch < if minor == 4 { 22 } else { 6 },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::loses_data;

    #[test]
    fn versions_that_lose_data_are_told_from_those_that_do_not() {
        for version in ["3.3.27", "3.4.21", "3.5.0", "3.5.5", "3.5.0-rc.1"] {
            assert!(loses_data(version), "{version}");
        }
        for version in ["3.4.22", "3.4.23", "3.5.6", "3.5.21", "3.6.0", "3.6.0-rc.1", "4.0.0", "", "text"] {
            assert!(!loses_data(version), "{version}");
        }
    }
}
