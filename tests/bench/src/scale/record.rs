//! Updates of larger and larger objects.

use std::time::Duration;

use metaparticle::{ErrorKind, Store, Tx, transactional};

use crate::Result;
use crate::figures::{Figure, Figures};
use crate::job::Mode;
use crate::objects::Document;
use crate::work::{Workers, work};

/// Bytes of all objects together, whatever their size. More than an engine holds back, so that few updates merge before they
/// are written.
const DATA: usize = if cfg!(test) { 1 << 17 } else { 16 << 20 };

#[transactional(durability = eventual)]
fn insert(tx: &Tx, key: u32, bytes: usize) -> metaparticle::Result<()> {
    tx.insert(key, Document::new(bytes))
}

#[transactional]
fn change(document: &mut Document) -> metaparticle::Result<()> {
    document.number += 1;
    Ok(())
}

#[transactional(read_only)]
fn changes(tx: &Tx) -> metaparticle::Result<u64> {
    tx.range::<Document>(..).map(|document| Ok(document?.1.number)).sum()
}

pub(super) fn measure(url: &str, bytes: usize, mode: Mode, length: Duration) -> Result<Figures> {
    let open = || Store::builder(url).durability(mode.durability()).open();
    let store = open()?;
    let count = (DATA / bytes).max(1) as u32;
    match store.run(|| (0..count).try_for_each(|key| insert(key, bytes))) {
        Err(error) if error.kind() == ErrorKind::Limit => return Ok(Figures::skipped(error)),
        inserted => inserted?,
    }
    store.flush()?;
    let workers = Workers { threads: 1, length, with_latencies: false };
    let change = |random: &mut fastrand::Rng| Ok(change(random.u32(..count)).map(|()| 0)?);
    let work = work(workers, |work| store.run(work), change)?;
    drop(store);
    let found = open()?.run(changes)?;
    Ok(Figures::of(&work)
        .with(Figure::MbPerSecond, work.per_second() * bytes as f64 / 1e6)
        .with(Figure::Lost, work.done as f64 - found as f64))
}
