//! What crash tests write, and what must be found afterwards.
//!
//! Several threads write numbers, each its own ones, from 0. Number `n` of a thread is one transaction, which
//!
//! - inserts three parts of several sizes, and removes those of the number `KEPT` before it;
//! - inserts, overwrites or removes one of the thread's slots;
//! - notes in the thread's progress that `n` is written and, now and then, how far it has seen the next thread come;
//! - now and then adds to the total of all threads.
//!
//! So how far each thread has come says what is in the store, to the last byte, and a store shows if a transaction is lost or torn,
//! or is there without one that it comes after.

mod verify;

use metaparticle::{Durability, Result, Store, TransactionOptions, Tx, persistent};

pub use self::verify::{Wrong, verify};

/// A third of what is written for one number of a thread.
#[persistent(key = (u64, u64, u8))]
struct Part {
    payload: Vec<u8>,
}

const PARTS: u8 = 3;
/// The parts of so many numbers of a thread are in the store.
const KEPT: u64 = 32;

/// What is written again and again.
#[persistent(key = (u64, u64))]
struct Slot {
    number: u64,
    payload: Vec<u8>,
}

const SLOTS: u64 = 8;

/// How far a thread has come.
#[persistent(default, key = u64)]
struct Progress {
    /// Its next number.
    next: u64,
    /// The next thread's, when it was last looked at.
    seen: u64,
}

/// How many numbers all threads have counted together.
#[persistent(default, singleton)]
struct Total {
    count: u64,
}

/// Every number that is a multiple of it is counted in the total.
const COUNTED: u64 = 4;
/// At every number that is a multiple of it, the next thread is looked at.
const LOOKING: u64 = 3;

/// What a part holds: mostly little; now and then several of sled's pieces, or several pages of the journal.
fn part(thread: u64, number: u64, part: u8) -> Vec<u8> {
    let length = match number % 64 {
        63 if part > 0 => 100_000,
        7 | 23 | 39 | 55 => 20_000,
        _ => 0,
    };
    payload([thread, number, u64::from(part)], length)
}

/// What a slot holds: some of them much, so that the journal is long and what it comes to is not.
fn slot(thread: u64, number: u64) -> Vec<u8> {
    let length = if number % SLOTS % 4 == 1 { 80_000 } else { 0 };
    payload([thread, number, u64::from(PARTS)], length)
}

/// Bytes that are those of one place only: at least `length`, and a little more.
fn payload(place: [u64; 3], length: usize) -> Vec<u8> {
    let mut random =
        fastrand::Rng::with_seed(place.into_iter().fold(0, |seed, n| (seed ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut bytes = vec![0; length + random.usize(64..1_000)];
    random.fill(&mut bytes);
    bytes
}

/// Whether a number leaves its slot empty.
fn empties_slot(number: u64) -> bool {
    number / SLOTS % 3 == 2
}

/// Writes the next number of `thread`, one of so many; gives the number.
///
/// # Errors
/// Those of the store.
pub fn write(store: &Store, thread: u64, threads: u64, durability: Durability) -> Result<u64> {
    let options = TransactionOptions::new().name("write").durability(durability);
    store.transaction_with(options, |tx| {
        let mut progress = tx.get_mut::<Progress>(thread)?;
        let number = *progress.next();
        progress.set_next(number + 1);
        if number.is_multiple_of(LOOKING) && threads > 1 {
            progress.set_seen(tx.get::<Progress>((thread + 1) % threads)?.next);
        }
        drop(progress);
        write_records(tx, thread, number)?;
        Ok(number)
    })
}

fn write_records(tx: &Tx, thread: u64, number: u64) -> Result<()> {
    for index in 0..PARTS {
        tx.insert((thread, number, index), Part { payload: part(thread, number, index) })?;
        if let Some(old) = number.checked_sub(KEPT) {
            tx.remove::<Part>((thread, old, index))?;
        }
    }
    let place = (thread, number % SLOTS);
    if empties_slot(number) {
        tx.remove::<Slot>(place)?;
    } else {
        tx.insert(place, Slot { number, payload: slot(thread, number) })?;
    }
    if number.is_multiple_of(COUNTED) {
        let mut total = tx.get_mut::<Total>(())?;
        let count = *total.count();
        total.set_count(count + 1);
    }
    Ok(())
}

/// The next number of a thread. When it returns, all before it are durable.
///
/// # Errors
/// Those of the store.
pub fn next(store: &Store, thread: u64) -> Result<u64> {
    let options = TransactionOptions::new().name("next").durability(Durability::Immediate).read_only();
    store.transaction_with(options, |tx| Ok(tx.get::<Progress>(thread)?.next))
}
