//! The gate: while it is closed, nobody else commits to the store. For commits that have read more than etcd compares at once.
//!
//! Every commit compares that the gate is open, or that it is the one who closed it. So behind a closed gate nothing changes:
//! what was then found current still is when the commit comes, if the gate is still closed by the same. Whoever closed it and
//! does not come back blocks commits until the gate's lease ends, and can do no other harm.

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::connection::Connection;
use super::keys::Keys;
use super::look::{corrupt, gets_of};
use crate::engine::Version;
use crate::engine::remote::{Failure, TRY, again};

/// A gate that was closed here.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    /// When it was closed.
    revision: i64,
}

/// Closes the gate for the commit with this id.
pub(super) async fn close(connection: &Connection, keys: &Keys, id: Version) -> Result<Gate, Failure> {
    let lease = connection.grant(i64::try_from(TRY.as_secs()).unwrap_or(i64::MAX)).await?;
    let id = id.number().to_be_bytes();
    let close = TxnOp::put(keys.gate(), id, Some(PutOptions::new().with_lease(lease)));
    let look = TxnOp::get(keys.gate(), None);
    let answer = connection.txn(Txn::new().when(vec![is_open(keys)]).and_then(vec![close]).or_else(vec![look])).await?;
    if answer.succeeded() {
        let header = answer.header().ok_or_else(|| corrupt("an answer has no revision"))?;
        return Ok(Gate { revision: header.revision() });
    }
    match gets_of(&answer).first().and_then(|found| found.kvs().first()) {
        // By an earlier try of the same commit, whose answer was lost.
        Some(closed) if closed.value() == id => Ok(Gate { revision: closed.create_revision() }),
        _ => Err(again("another commit is under way", "it has closed the store's gate")),
    }
}

/// Nobody has closed the gate.
pub(super) fn is_open(keys: &Keys) -> Compare {
    Compare::create_revision(keys.gate(), CompareOp::Equal, 0)
}

impl Gate {
    /// It is still closed by the same.
    pub(super) fn is_closed(self, keys: &Keys) -> Compare {
        Compare::create_revision(keys.gate(), CompareOp::Equal, self.revision)
    }

    /// As part of the commit that it was closed for.
    pub(super) fn opening(keys: &Keys) -> TxnOp {
        TxnOp::delete(keys.gate(), None)
    }

    /// Opens it without a commit.
    pub(super) async fn open(self, connection: &Connection, keys: &Keys) -> Result<(), Failure> {
        let txn = Txn::new().when(vec![self.is_closed(keys)]).and_then(vec![Self::opening(keys)]);
        connection.txn(txn).await?;
        Ok(())
    }
}
