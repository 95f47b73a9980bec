//! One minitransaction as a call of a Lua script, and its answer.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind as Cause, RedisError, Script, ServerErrorKind, Value};

use super::connection::Connection;
use super::listen::channel;
use crate::engine::remote::{Ask, Failure, Found, IDS_KEPT, Told};
use crate::engine::{Differs, Record, RecordKey, Version};
use crate::error::{Error, ErrorKind};

const TEXT: &str = include_str!("minitransaction.lua");
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TEXT));

/// Has the server carry out `ask` once.
pub(super) async fn run(connection: &Connection, prefix: &str, ask: &Ask) -> Result<Value, RedisError> {
    ask.about_to_commit();
    let answer = connection.send(&call("EVALSHA", SCRIPT.get_hash(), prefix, ask)).await;
    match answer {
        // The server does not know the script yet, so it has not run it. It knows it from now on.
        Err(error) if error.kind() == Cause::Server(ServerErrorKind::NoScript) => {
            connection.send(&call("EVAL", TEXT, prefix, ask)).await
        }
        answer => answer,
    }
}

/// The call; the order of its arguments is that in which the script reads them.
fn call(command: &str, script: &str, prefix: &str, ask: &Ask) -> Cmd {
    let records = format!("{prefix}r:");
    let name = |key: &[u8]| [records.as_bytes(), key].concat();
    let (version, claim) = (ask.version().number().to_be_bytes(), ask.claim().number().to_be_bytes());
    let mut call = redis::cmd(command);
    let keys = 2 + ask.compare.records.len() + ask.read.len() + ask.write.len();
    call.arg(script).arg(keys).arg(format!("{prefix}i")).arg([format!("{prefix}c:").as_bytes(), &claim].concat());
    let compared = ask.compare.records.iter().map(|(key, _)| key);
    for key in compared.chain(&ask.read).chain(ask.write.iter().map(|write| &write.key)) {
        call.arg(name(key));
    }
    call.arg(&version[..]).arg(u8::from(ask.refuses())).arg(&records).arg(IDS_KEPT.as_secs()).arg(channel(prefix));
    call.arg(ask.write.len());
    call.arg(ask.compare.records.len());
    for (_, version) in &ask.compare.records {
        call.arg(version.map_or(Vec::new(), |version| version.number().to_be_bytes().to_vec()));
    }
    call.arg(ask.compare.ranges.len());
    for seen in &ask.compare.ranges {
        call.arg(&*seen.range.start).arg(&*seen.range.end).arg(seen.keys.len());
        for key in &seen.keys {
            call.arg(&**key);
        }
    }
    call.arg(ask.read.len());
    match &ask.page {
        Some((range, limit)) => call.arg(limit).arg(&*range.start).arg(&*range.end),
        None => call.arg(0),
    };
    for write in &ask.write {
        call.arg(u8::from(write.bytes.is_some())).arg(write.bytes.as_deref().unwrap_or_default());
    }
    call
}

/// What the script's answer says.
pub(super) fn told(answer: Value, ask: &Ask) -> Result<Told, Failure> {
    let mut parts = array(answer)?.into_iter();
    let mut next = || parts.next().unwrap_or(Value::Nil);
    let claimed = bytes(next())?;
    if claimed.as_deref() == Some(b"refused") {
        return Ok(Told::Refused);
    }
    let differing = array(next())?;
    let ranges: Vec<usize> = array(next())?.iter().map(index).collect::<Result<_, _>>()?;
    let read: Vec<_> = array(next())?.into_iter().map(record).collect::<Result<_, _>>()?;
    if read.len() != ask.read.len() || ranges.iter().any(|at| *at >= ask.compare.ranges.len()) {
        return Err(corrupt("an answer to another question"));
    }
    let mut differs = Differs { records: Vec::new(), ranges };
    for pair in pairs(differing) {
        let (at, value) = pair?;
        let (key, _) = ask.compare.records.get(index(&at)?).ok_or_else(|| corrupt("an answer to another question"))?;
        differs.records.push((key.clone(), record(value)?));
    }
    if claimed.as_deref() == Some(b"applied") {
        // Committed by an earlier try; what is read is current now.
        differs = Differs::default();
    }
    let mut page = Vec::new();
    for pair in pairs(array(next())?) {
        let (key, value) = pair?;
        let key = bytes(key)?.ok_or_else(|| corrupt("a record without a key"))?;
        page.push((RecordKey::new(key), record(value)?.ok_or_else(|| corrupt("a key in the index without a record"))?));
    }
    Ok(Told::Found(Found { read, differs, page }))
}

/// What an array holds by twos.
fn pairs(values: Vec<Value>) -> impl Iterator<Item = Result<(Value, Value), Failure>> {
    let mut values = values.into_iter();
    std::iter::from_fn(move || {
        let first = values.next()?;
        Some(values.next().map(|second| (first, second)).ok_or_else(|| corrupt("half a pair")))
    })
}

fn record(value: Value) -> Result<Option<Record>, Failure> {
    let Some(value) = bytes(value)? else { return Ok(None) };
    let (version, bytes) = value.split_first_chunk::<16>().ok_or_else(|| corrupt("a record has no version"))?;
    Ok(Some(Record { version: Version::new(u128::from_be_bytes(*version)), bytes: bytes.into() }))
}

fn bytes(value: Value) -> Result<Option<Vec<u8>>, Failure> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        _ => Err(corrupt("an answer of another form")),
    }
}

fn array(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(corrupt("an answer of another form")),
    }
}

fn index(value: &Value) -> Result<usize, Failure> {
    match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| corrupt("an answer of another form")),
        _ => Err(corrupt("an answer of another form")),
    }
}

fn corrupt(what: &str) -> Failure {
    Failure::Final(Error::new(ErrorKind::Corrupt, format!("the store's keys hold what this library has not written: {what}")))
}
