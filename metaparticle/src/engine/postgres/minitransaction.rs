//! One minitransaction as SQL: what is compared and read in one round trip, what is written in a second one.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row, Statement};

use super::connection::{Connection, failure_of, is_rolled_back};
use crate::engine::remote::{Ask, Failure, Found, Told};
use crate::engine::{Differs, Record, RecordBytes, RecordKey, Version};
use crate::error::{Error, ErrorKind};

/// A statement on its way.
type Step<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

/// Which step failed, and how. Those before it were carried out.
struct Stopped {
    at: usize,
    error: tokio_postgres::Error,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
const COMMIT: &str = "COMMIT";

/// Carries out `ask` once.
pub(super) async fn run(connection: &Connection, ask: &Ask) -> Result<Told, Failure> {
    let look = Look::new(ask);
    let mut steps = look.steps(connection);
    let client = &connection.client;
    if ask.write.is_empty() {
        // A single statement is a transaction of its own.
        if steps.len() > 1 {
            steps.insert(0, text(client, BEGIN));
            steps.push(text(client, COMMIT));
        }
        let rows = in_order(steps).await.map_err(|stopped| unread(stopped.error))?;
        return Ok(Told::Found(look.found(rows)?.0));
    }
    if steps.is_empty() {
        // Nothing to decide on, so nothing to wait for.
        apply(connection, ask, Some(BEGIN)).await?;
        return Ok(Told::Found(Found::default()));
    }
    steps.insert(0, text(client, BEGIN));
    let rows = in_order(steps).await.map_err(|stopped| unread(stopped.error))?;
    match look.found(rows)? {
        // Committed by an earlier try; what is read is current now.
        (found, Some(true)) => {
            end(client).await?;
            Ok(Told::Found(Found { differs: Differs::default(), ..found }))
        }
        (_, Some(false)) => end(client).await.map(|()| Told::Refused),
        (found, None) if found.differs.is_empty() => apply(connection, ask, None).await.map(|()| Told::Found(found)),
        (found, None) if ask.refuses() => refuse(connection, ask).await.map(|()| Told::Found(found)),
        // What was read in a transaction counts only if that commits.
        (found, None) => end(client).await.map(|()| Told::Found(found)),
    }
}

/// What is looked at before anything is decided, in the form of parameters.
struct Look<'a> {
    ask: &'a Ask,
    /// The keys to compare and to read.
    keys: Vec<&'a [u8]>,
    /// Keys followed by the versions seen: if they are current, their bytes need not be sent.
    current: Vec<Vec<u8>>,
    ranges: Vec<[&'a [u8]; 2]>,
    page: Option<([&'a [u8]; 2], i64)>,
    id: Vec<u8>,
}

impl<'a> Look<'a> {
    fn new(ask: &'a Ask) -> Self {
        let compared = ask.compare.records.iter().map(|(key, _)| key);
        let known = ask.compare.records.iter().filter(|(key, _)| !ask.read.contains(key));
        let current = known.filter_map(|(key, version)| Some([&**key, &bytes_of((*version)?)].concat()));
        Self {
            ask,
            keys: compared.chain(&ask.read).map(|key| &**key).collect(),
            current: current.collect(),
            ranges: ask.compare.ranges.iter().map(|seen| [&*seen.range.start, &*seen.range.end]).collect(),
            page: ask
                .page
                .as_ref()
                .map(|(range, limit)| ([&*range.start, &*range.end], i64::try_from(*limit).unwrap_or(i64::MAX))),
            id: bytes_of(ask.version()).to_vec(),
        }
    }

    fn steps<'s>(&'s self, connection: &'s Connection) -> Vec<Step<'s>> {
        let client = &connection.client;
        let mut steps = Vec::new();
        if !self.keys.is_empty() {
            steps.push(query(client, &connection.records, vec![&self.keys, &self.current]));
        }
        for [start, end] in &self.ranges {
            steps.push(query(client, &connection.keys, vec![start, end]));
        }
        if let Some(([start, end], limit)) = &self.page {
            steps.push(query(client, &connection.page, vec![start, end, limit]));
        }
        if self.ask.settle {
            steps.push(query(client, &connection.id, vec![&self.id]));
        }
        steps
    }

    /// What the steps have brought, and whether the id belongs to a commit, to a refusal, or to neither.
    fn found(&self, rows: Vec<Vec<Row>>) -> Result<(Found, Option<bool>), Failure> {
        // `BEGIN` and `COMMIT` bring no rows; the steps are told apart by their order.
        let looks = usize::from(!self.keys.is_empty())
            + self.ranges.len()
            + usize::from(self.page.is_some())
            + usize::from(self.ask.settle);
        let begin = usize::from(rows.len() > looks);
        let mut rows = rows.into_iter().skip(begin);
        let mut records = HashMap::new();
        if !self.keys.is_empty() {
            for row in rows.next().unwrap_or_default() {
                records.insert(
                    column::<&[u8]>(&row, 0)?.to_vec(),
                    (version_of(&row)?, column::<Option<&[u8]>>(&row, 2)?.map(Into::into)),
                );
            }
        }
        let record = |key: &RecordKey| {
            let (version, bytes): &(Version, Option<RecordBytes>) = records.get(&**key)?;
            Some(Record { version: *version, bytes: bytes.clone().unwrap_or_default() })
        };
        let mut differs = Differs::default();
        for (key, seen) in &self.ask.compare.records {
            if records.get(&**key).map(|(version, _)| *version) != *seen {
                differs.records.push((key.clone(), record(key)));
            }
        }
        for (index, seen) in self.ask.compare.ranges.iter().enumerate() {
            let rows = rows.next().unwrap_or_default();
            let keys = rows.iter().map(|row| column::<&[u8]>(row, 0)).collect::<Result<Vec<_>, _>>()?;
            if !keys.iter().copied().eq(seen.keys.iter().map(|key| &**key)) {
                differs.ranges.push(index);
            }
        }
        let mut page = Vec::new();
        if self.page.is_some() {
            for row in rows.next().unwrap_or_default() {
                let record = Record { version: version_of(&row)?, bytes: column::<&[u8]>(&row, 2)?.into() };
                page.push((RecordKey::new(column::<&[u8]>(&row, 0)?), record));
            }
        }
        let claimed = match rows.next().unwrap_or_default().first() {
            Some(row) if self.ask.settle => Some(column::<bool>(row, 0)?),
            _ => None,
        };
        Ok((Found { read: self.ask.read.iter().map(record).collect(), differs, page }, claimed))
    }
}

/// Writes and commits. The id comes first: if it is there already, nothing else is done.
async fn apply(connection: &Connection, ask: &Ask, begin: Option<&'static str>) -> Result<(), Failure> {
    let client = &connection.client;
    let (version, claim) = (bytes_of(ask.version()).to_vec(), bytes_of(ask.claim()).to_vec());
    let put = ask.write.iter().filter_map(|write| Some((&*write.key, write.bytes.as_deref()?)));
    let (keys, records): (Vec<&[u8]>, Vec<&[u8]>) = put.unzip();
    let removed: Vec<&[u8]> = ask.write.iter().filter(|write| write.bytes.is_none()).map(|write| &*write.key).collect();
    let mut steps: Vec<Step<'_>> = begin.map(|begin| text(client, begin)).into_iter().collect();
    let first = steps.len();
    steps.push(query(client, &connection.claim, vec![&claim, &true]));
    if !keys.is_empty() {
        steps.push(query(client, &connection.write, vec![&keys, &records, &version]));
    }
    if !removed.is_empty() {
        steps.push(query(client, &connection.remove, vec![&removed]));
    }
    let commit = steps.len();
    steps.push(text(client, COMMIT));
    ask.about_to_commit();
    in_order(steps).await.map(drop).map_err(|Stopped { at, error }| {
        let is_rolled_back = is_rolled_back(&error);
        let failure = failure_of(error, "the commit failed");
        // In a transaction that has begun, a statement that fails makes `COMMIT` a `ROLLBACK`. What passes may have been said by a
        // pooler in between, which knows less.
        let is_refused = (first..commit).contains(&at) && matches!(failure, Failure::Final(_));
        if is_rolled_back || is_refused {
            ask.not_committed();
        }
        failure
    })
}

/// Makes sure that an earlier try, which may still be on its way, will not commit.
async fn refuse(connection: &Connection, ask: &Ask) -> Result<(), Failure> {
    let client = &connection.client;
    let id = bytes_of(ask.version()).to_vec();
    let steps = vec![query(client, &connection.claim, vec![&id, &false]), text(client, COMMIT)];
    in_order(steps).await.map(drop).map_err(|stopped| failure_of(stopped.error, "the commit could not be settled"))
}

async fn end(client: &Client) -> Result<(), Failure> {
    client.batch_execute(COMMIT).await.map_err(unread)
}

fn unread(error: tokio_postgres::Error) -> Failure {
    failure_of(error, "the records cannot be read")
}

fn query<'a>(client: &'a Client, statement: &'a Statement, parameters: Vec<&'a (dyn ToSql + Sync)>) -> Step<'a> {
    Box::pin(async move { client.query(statement, &parameters).await })
}

fn text<'a>(client: &'a Client, text: &'static str) -> Step<'a> {
    Box::pin(async move { client.batch_execute(text).await.map(|()| Vec::new()) })
}

/// Sends all steps at once, in their order, and waits for what they bring, or for the first one that fails.
async fn in_order(steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Stopped> {
    let mut steps: Vec<_> = steps.into_iter().map(|step| (step, None)).collect();
    poll_fn(|context| {
        // A step is sent when it is polled for the first time.
        for (step, brought) in steps.iter_mut().filter(|(_, brought)| brought.is_none()) {
            if let Poll::Ready(result) = step.as_mut().poll(context) {
                *brought = Some(result);
            }
        }
        for (at, (_, brought)) in steps.iter_mut().enumerate() {
            match brought.take() {
                None => return Poll::Pending,
                Some(Err(error)) => return Poll::Ready(Err(Stopped { at, error })),
                rows => *brought = rows,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(steps.into_iter().filter_map(|(_, brought)| brought?.ok()).collect())
}

fn bytes_of(version: Version) -> [u8; 16] {
    version.number().to_be_bytes()
}

fn version_of(row: &Row) -> Result<Version, Failure> {
    let bytes = column::<&[u8]>(row, 1)?;
    let number = bytes.try_into().map_err(|_| corrupt("a record has no version"))?;
    Ok(Version::new(u128::from_be_bytes(number)))
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Failure> {
    row.try_get(index).map_err(|_| corrupt("a record is not what was asked for"))
}

fn corrupt(what: &str) -> Failure {
    Failure::Final(Error::new(ErrorKind::Corrupt, format!("the table holds what this library has not written: {what}")))
}
