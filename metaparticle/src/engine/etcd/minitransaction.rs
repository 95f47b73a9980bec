//! One minitransaction: a look if it only reads, else one `Txn` that claims the commit's id, or finds out who has.

use etcd_client::{Compare, GetResponse, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};

use super::connection::Connection;
use super::errors::{Cause, Trouble};
use super::gate::{self, Gate};
use super::keys::{APPLIED, Keys, REFUSED};
use super::look::{self, Look, corrupt, look};
use super::{Etcd, OPERATIONS, REQUEST_BYTES, guards};
use crate::engine::Stamp;
use crate::engine::remote::{Ask, Failure, Told, again};
use crate::error::{Error, ErrorKind};

/// What etcd adds to each operation, at the most.
const OVERHEAD: usize = 64;

/// One entry is left for what is within another one.
const FLAT: usize = OPERATIONS - 1;

/// Lists that are too long are cut: so many entries, and in each of them as many.
const NESTED: usize = OPERATIONS / 2;

/// What every commit compares beside what was read: its id, and the gate.
const ALWAYS: usize = 2;

/// Carries out `ask` once.
pub(super) async fn run(etcd: &Etcd, connection: &Connection, ask: &Ask) -> Result<Told, Failure> {
    let keys = &etcd.keys;
    if ask.write.is_empty() {
        return look(connection, keys, ask).await?.told();
    }
    let compares = match compares(connection, keys, ask).await? {
        Ok(compares) => compares,
        Err(look) if !ask.settle => return look.told(),
        // It must not commit, but its id must be claimed.
        Err(_) => Compares { compares: vec![guards::never(keys)], gate: None },
    };
    let gate = compares.gate;
    let claim = commit(etcd, connection, ask, compares).await;
    // The commit opens it; another try uses it again.
    let settled = matches!(claim, Ok(Claim::Now(..)) | Err(Failure::Again(_)));
    if let (false, Some(gate)) = (settled, gate) {
        gate.open(connection, keys).await?;
    }
    match claim? {
        Claim::Now(stamp, reads) => Ok(Told::At(stamp, look::read_of(keys, ask, &mut reads.into_iter())?)),
        // By an earlier try; what is read is current now.
        Claim::Before(stamp) => Ok(Told::At(stamp, look::read(connection, keys, ask).await?)),
        Claim::Refused => Ok(Told::Refused),
        Claim::RefusedNow | Claim::Nobody => {
            ask.not_committed();
            let look = look(connection, keys, ask).await?;
            match (look.found.differs.is_empty(), ask.settle) {
                (false, _) => look.told(),
                (true, true) => Ok(Told::Refused),
                // Others are behind the gate, or what differed is as it was again.
                (true, false) => Err(again("the commit was overtaken", "another one was under way")),
            }
        }
    }
}

/// What a commit compares.
struct Compares {
    compares: Vec<Compare>,
    /// The gate that was closed for it.
    gate: Option<Gate>,
}

/// What makes sure that everything read is current; or what is not.
async fn compares(connection: &Connection, keys: &Keys, ask: &Ask) -> Result<Result<Compares, Look>, Failure> {
    let list = if count(ask) <= FLAT { FLAT } else { NESTED };
    let guards = |revision| guards::since(keys, &ask.compare, revision, list - ALWAYS);
    let optimistic = |mut compares: Vec<Compare>| {
        compares.push(gate::is_open(keys));
        Ok(Compares { compares, gate: None })
    };
    let fitting = guards(0);
    if let Some(compares) = fitting.as_ref().filter(|_| ask.compare.ranges.is_empty()) {
        return Ok(optimistic(compares.clone()));
    }
    let gate = match fitting {
        Some(_) => None,
        None => Some(gate::close(connection, keys, ask.version()).await?),
    };
    let look = look(connection, keys, ask).await?;
    if !look.found.differs.is_empty() {
        if let Some(gate) = gate {
            gate.open(connection, keys).await?;
        }
        return Ok(Err(look));
    }
    Ok(match gate {
        Some(gate) => Ok(Compares { compares: vec![gate.is_closed(keys)], gate: Some(gate) }),
        None => optimistic(guards(look.revision).unwrap_or_default()),
    })
}

/// Who has the commit's id.
pub(super) enum Claim {
    /// This try, which has committed. With what was read before it wrote.
    Now(Stamp, Vec<GetResponse>),
    /// The commit, by an earlier try.
    Before(Stamp),
    /// A settlement.
    Refused,
    /// This try, which is a settlement and has found a difference.
    RefusedNow,
    /// Nobody: this try has found a difference.
    Nobody,
}

async fn commit(etcd: &Etcd, connection: &Connection, ask: &Ask, compares: Compares) -> Result<Claim, Failure> {
    let Compares { mut compares, gate } = compares;
    let id = etcd.keys.commit(ask.claim());
    let removed = ask.write.iter().filter(|write| write.bytes.is_none()).count();
    let lease = etcd.leases.take(connection, 1 + removed).await?;
    let operations = operations(&etcd.keys, ask, &id, lease, gate)?;
    compares.push(guards::unclaimed(id.clone()));
    let look_up = TxnOp::get(&*id, None);
    let otherwise = match ask.refuses() {
        false => look_up,
        true => {
            let refuse = TxnOp::put(&*id, REFUSED, Some(under(lease)));
            let unclaimed = vec![guards::unclaimed(id.clone())];
            TxnOp::txn(Txn::new().when(unclaimed).and_then(vec![refuse]).or_else(vec![look_up]))
        }
    };
    let txn = Txn::new().when(compares).and_then(operations).or_else(vec![otherwise]);
    ask.about_to_commit();
    match connection.txn(txn).await {
        Ok(answer) => claim(&answer),
        Err(trouble) => failed(etcd, connection, ask, trouble, id, lease).await,
    }
}

/// What is done if the comparison holds.
fn operations(keys: &Keys, ask: &Ask, id: &[u8], lease: i64, gate: Option<Gate>) -> Result<Vec<TxnOp>, Failure> {
    // Before the writes, so that they do not see them.
    let mut operations: Vec<TxnOp> = ask.read.iter().map(|key| TxnOp::get(keys.record(key), None)).collect();
    operations.push(TxnOp::put(id, APPLIED, Some(under(lease))));
    operations.extend(gate.map(|_| Gate::opening(keys)));
    let mut size = 0;
    for write in &ask.write {
        let name = keys.record(&write.key);
        size += name.len() + OVERHEAD;
        match &write.bytes {
            Some(bytes) => {
                size += bytes.len();
                operations.push(TxnOp::put(name, &**bytes, None));
            }
            None => {
                let mark = keys.removed(&write.key);
                size += mark.len() + OVERHEAD;
                operations.push(TxnOp::delete(name, None));
                operations.push(TxnOp::put(mark, "", Some(under(lease))));
            }
        }
    }
    if size > REQUEST_BYTES {
        let message = format!("the commit takes {size} bytes; etcd takes up to {REQUEST_BYTES} at once");
        return Err(Failure::Final(Error::new(ErrorKind::Limit, message)));
    }
    if operations.len() <= FLAT {
        return Ok(operations);
    }
    Ok(operations.chunks(NESTED).map(|some| TxnOp::txn(Txn::new().and_then(some))).collect())
}

/// How many operations it takes, at the most.
fn count(ask: &Ask) -> usize {
    let removed = ask.write.iter().filter(|write| write.bytes.is_none()).count();
    ask.read.len() + ask.write.len() + removed + ALWAYS
}

fn under(lease: i64) -> PutOptions {
    PutOptions::new().with_lease(lease)
}

/// What the answer to the commit says.
pub(super) fn claim(answer: &TxnResponse) -> Result<Claim, Failure> {
    if answer.succeeded() {
        let header = answer.header().ok_or_else(|| corrupt("an answer has no revision"))?;
        return Ok(Claim::Now(look::stamp_of(header.revision())?, look::gets_of(answer)));
    }
    if let [TxnOpResponse::Txn(refusal)] = &*answer.op_responses()
        && refusal.succeeded()
    {
        return Ok(Claim::RefusedNow);
    }
    claimed(look::gets_of(answer).pop().ok_or_else(|| corrupt("an answer is incomplete"))?)
}

/// What an id that was looked up says.
fn claimed(mut found: GetResponse) -> Result<Claim, Failure> {
    match found.take_kvs().pop() {
        None => Ok(Claim::Nobody),
        // It was written in the same step as the records, so it has their revision.
        Some(id) if id.value() == APPLIED => Ok(Claim::Before(look::stamp_of(id.mod_revision())?)),
        Some(id) if id.value() == REFUSED => Ok(Claim::Refused),
        Some(_) => Err(corrupt("a commit's id holds something else")),
    }
}

/// What became of a commit that was answered with an error, as far as that is known.
async fn failed(
    etcd: &Etcd,
    connection: &Connection,
    ask: &Ask,
    trouble: Trouble,
    id: Vec<u8>,
    lease: i64,
) -> Result<Claim, Failure> {
    match trouble.cause {
        Cause::NoLease => etcd.leases.forget(lease).await,
        // The one request that finds the space used up is told so although it is carried out.
        Cause::Full => match claimed(connection.get(id, Default::default()).await?)? {
            Claim::Nobody => ask.not_committed(),
            claim => return Ok(claim),
        },
        _ => {}
    }
    if trouble.cause.did_nothing() {
        ask.not_committed();
    }
    Err(trouble.into())
}
