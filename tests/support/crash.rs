//! What the crash tests write, and what must be found afterwards.
//!
//! Number `i` is written as three objects of several sizes and, in the same transaction, as the last number. So a store shows
//! whether a transaction was torn, lost, or came without one before it.

use metaparticle::{Mut, Result, Store, Tx, persistent, transactional};

/// A third of what is written for one number.
#[persistent(key = (u64, u8))]
pub struct Part {
    payload: Vec<u8>,
}

/// The last number written, plus one.
#[persistent(default, singleton)]
pub struct Progress {
    next: u64,
}

/// What is written for `number`: mostly small, now and then in several pieces.
fn payload(number: u64) -> Vec<u8> {
    let length = if number % 50 == 7 { 20_000 } else { 64 + (number * 37) % 900 };
    (0..length).map(|at| (at * 7 + number) as u8).collect()
}

/// Writes `number`.
///
/// # Errors
/// Those of the store.
#[transactional]
pub fn write(tx: &Tx, #[singleton] progress: Mut<Progress>, number: u64) -> Result<()> {
    for part in 0..3u8 {
        tx.insert((number, part), Part { payload: payload(number) })?;
    }
    progress.set_next(number + 1);
    Ok(())
}

/// The next number to write.
///
/// # Errors
/// Those of the store.
#[transactional]
pub fn next(#[singleton] progress: Mut<Progress>) -> Result<u64> {
    Ok(*progress.next())
}

/// Checks that the numbers up to the last one are there, each whole, and that none of the first `acknowledged` is missing.
///
/// # Errors
/// What is wrong, in words.
pub fn verify(path: &str, acknowledged: u64) -> Result<u64, String> {
    let store = Store::open(path).map_err(|error| format!("UNOPENABLE {error:?}"))?;
    let found = store.transaction(|tx| {
        let next = tx.get::<Progress>(())?.next;
        let mut expected = (0..next).flat_map(|number| (0..3u8).map(move |part| (number, part)));
        for entry in tx.range::<Part>(..) {
            let (key, part) = entry?;
            if expected.next() != Some(key) {
                return metaparticle::Ok(Err(format!("TORN or a hole before {key:?}, the last is {next}")));
            }
            if part.payload != payload(key.0) {
                return metaparticle::Ok(Err(format!("WRONG {key:?}")));
            }
        }
        let missing = expected.next();
        metaparticle::Ok(missing.map_or(Ok(next), |key| Err(format!("MISSING {key:?}, the last is {next}"))))
    });
    let next = found.map_err(|error| format!("UNREADABLE {error:?}"))??;
    if next < acknowledged { Err(format!("LOST: {next} are there, {acknowledged} were acknowledged")) } else { Ok(next) }
}
