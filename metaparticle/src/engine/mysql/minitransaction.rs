//! One minitransaction as SQL: what is compared and read in one round trip, what is written in a second one.

use super::connection::{Connection, DUPLICATE, Stopped, code_of, failure_of, is_rolled_back};
use super::look::{Look, bytes_of, id_of};
use super::sql::Sql;
use super::steps::{Batch, Step, Steps};
use crate::engine::Differs;
use crate::engine::remote::{Ask, Failure, Found, Told};
use crate::error::{Error, ErrorKind};

const BEGIN: &str = "START TRANSACTION";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// Why there is no answer.
enum Stop {
    /// A key that was presumed to be absent may not be, so nothing may be presumed.
    Presumed,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Carries out `ask` once.
pub(super) async fn run(connection: &mut Connection, sql: &Sql, ask: &Ask) -> Result<Told, Failure> {
    // An id is looked up before anything is presumed.
    let told = match carry_out(connection, &Look::new(ask, sql, !ask.settle)).await {
        Err(Stop::Presumed) => {
            end(connection, ROLLBACK).await?;
            carry_out(connection, &Look::new(ask, sql, false)).await
        }
        told => told,
    };
    told.map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::Presumed => Failure::Again(Error::new(ErrorKind::Timeout, "a key was there and was not")),
    })
}

async fn carry_out(connection: &mut Connection, look: &Look<'_>) -> Result<Told, Stop> {
    let ask = look.ask;
    let statements = look.statements();
    let mut steps = Steps::default();
    if ask.write.is_empty() {
        // A single statement is a transaction of its own.
        let several = statements.len() > 1;
        if several {
            steps.add(BEGIN.to_owned());
        }
        statements.into_iter().for_each(|text| steps.add(text));
        if several {
            steps.add(COMMIT.to_owned());
        }
        let rows = send(connection, steps).await.map_err(unread)?;
        return Ok(Told::Found(look.found(rows)?.0));
    }
    if statements.is_empty() {
        // Nothing to decide on, so nothing to wait for.
        apply(connection, look, true).await?;
        return Ok(Told::Found(Found::default()));
    }
    steps.add(BEGIN.to_owned());
    statements.into_iter().for_each(|text| steps.add(text));
    let rows = send(connection, steps).await.map_err(unread)?;
    match look.found(rows)? {
        // Committed by an earlier try; what is read is current now.
        (found, Some(true)) => {
            end(connection, COMMIT).await?;
            Ok(Told::Found(Found { differs: Differs::default(), ..found }))
        }
        (_, Some(false)) => Ok(end(connection, COMMIT).await.map(|()| Told::Refused)?),
        (found, None) if found.differs.is_empty() => apply(connection, look, false).await.map(|()| Told::Found(found)),
        (found, None) if ask.refuses() => Ok(refuse(connection, look).await.map(|()| Told::Found(found))?),
        // The differences are to be told all at once.
        (_, None) if !look.presumed_absent.is_empty() => Err(Stop::Presumed),
        (found, None) => Ok(end(connection, COMMIT).await.map(|()| Told::Found(found))?),
    }
}

/// Writes and commits. The id comes first: if it is there already, nothing else is done.
async fn apply(connection: &mut Connection, look: &Look<'_>, begin: bool) -> Result<(), Stop> {
    let (ask, sql, id) = (look.ask, look.sql, id_of(look.ask));
    let put = ask.write.iter().filter_map(|write| Some((&*write.key, write.bytes.as_deref()?)));
    let put: Vec<_> = put.filter(|(key, _)| !look.presumes(key)).collect();
    let removed: Vec<&[u8]> = ask.write.iter().filter(|write| write.bytes.is_none()).map(|write| &*write.key).collect();
    let mut steps = Steps::default();
    if begin {
        steps.add(BEGIN.to_owned());
    }
    steps.add(sql.claim(&bytes_of(ask.claim()), true));
    sql.write_new(&mut steps, &look.presumed_absent, &id);
    sql.write(&mut steps, &put, &id);
    sql.remove(&mut steps, &removed);
    steps.add(COMMIT.to_owned());
    let claim = usize::from(begin);
    let mut steps = steps.into_vec();
    let last = steps.pop();
    for (index, step) in steps.iter().enumerate() {
        connection.step(step).await.map_err(|stopped| not_applied(stopped, index == 0, claim))?;
    }
    ask.about_to_commit();
    let Some(last) = last else { return Ok(()) };
    let done = connection.step(&last).await;
    done.map(drop).map_err(|stopped| {
        let reached = match &last {
            Step::Batch(batch) => stopped.at + 1 >= batch.statements(),
            Step::One(..) => true,
        };
        // The server stops at the first statement that fails, so if it is not the last one, there was no `COMMIT`.
        if is_rolled_back(&stopped.error) || code_of(&stopped.error).is_some() && !reached {
            ask.not_committed();
        }
        not_applied(stopped, steps.is_empty(), claim)
    })
}

/// What it means that the statement which has `stopped` failed, given which one of the first step claims the id.
fn not_applied(stopped: Stopped, is_first: bool, claim: usize) -> Stop {
    if code_of(&stopped.error) == Some(DUPLICATE) && !(is_first && stopped.at <= claim) {
        return Stop::Presumed;
    }
    Stop::Failed(failure_of(stopped.error, "the commit failed"))
}

/// Makes sure that an earlier try, which may still be on its way, will not commit.
async fn refuse(connection: &mut Connection, look: &Look<'_>) -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.add(look.sql.claim(&id_of(look.ask), false));
    steps.add(COMMIT.to_owned());
    let refused = send(connection, steps).await;
    refused.map(drop).map_err(|error| failure_of(error, "the commit could not be settled"))
}

async fn end(connection: &mut Connection, how: &str) -> Result<(), Failure> {
    connection.query(&Batch::of(how.to_owned())).await.map(drop).map_err(|stopped| unread(stopped.error))
}

fn unread(error: mysql_async::Error) -> Failure {
    failure_of(error, "the records cannot be read")
}

/// Carries out all steps, and returns the rows of each statement that brings any, in order.
async fn send(connection: &mut Connection, steps: Steps<'_>) -> Result<Vec<Vec<mysql_async::Row>>, mysql_async::Error> {
    let mut rows = Vec::new();
    for step in steps.into_vec() {
        rows.extend(connection.step(&step).await.map_err(|stopped| stopped.error)?);
    }
    Ok(rows)
}
