//! Transactions that keep something true, each kind on objects of its own.
//!
//! Each kind has one or two transactions that change its objects, and one that only looks whether what must hold does.

mod bank;
mod doctors;
mod pair;
mod ring;
mod rooms;
mod set;
mod token;

use std::cell::RefCell;

use metaparticle::{Error, Persistent, Store, TransactionOptions, Tx};

use super::checker::Anomaly;
use super::event::{Event, outcome};

/// How many objects are removed at once: as many as every engine can.
const CLEARED: usize = 60;

/// A client at work.
pub(super) struct Client<'a> {
    pub(super) store: &'a Store,
    pub(super) round: u64,
    pub(super) random: fastrand::Rng,
    /// Whether attempts that are rolled back see no mixture either.
    pub(super) is_opaque: bool,
    /// A number that no other client has, and how far it is to the next one.
    pub(super) number: u64,
    pub(super) stride: u64,
    pub(super) events: Vec<Event>,
}

/// Makes the objects of a round.
pub(super) fn prepare(store: &Store, round: u64) -> Result<(), Error> {
    store.transaction(|tx| {
        bank::prepare(tx, round)?;
        ring::prepare(tx, round)?;
        doctors::prepare(tx, round)?;
        token::prepare(tx, round)
    })
}

/// Removes them.
pub(super) fn clear(store: &Store, round: u64) -> Result<(), Error> {
    clear_all::<bank::Account>(store, round)?;
    clear_all::<ring::Node>(store, round)?;
    clear_all::<doctors::Doctor>(store, round)?;
    clear_all::<pair::Counter>(store, round)?;
    clear_all::<rooms::Booking>(store, round)?;
    clear_all::<token::Token>(store, round)?;
    clear_all::<set::Element>(store, round)
}

/// What cannot be, in what all clients of a round have told.
pub(super) fn check(store: &Store, round: u64, events: &[Event]) -> Result<Vec<Anomaly>, Error> {
    let mut found: Vec<Anomaly> = events.iter().filter_map(told).collect();
    found.extend(set::check(&set::read(store, round)?, events));
    found.extend(token::check(&token::read(store, round)?, events));
    found.extend(pair::check(pair::read(store, round)?, events));
    Ok(found)
}

fn told(event: &Event) -> Option<Anomaly> {
    match event {
        Event::Broken { what } => Some(Anomaly::new("broken", what)),
        Event::Unexpected { error } => Some(Anomaly::new("unexpected", error)),
        _ => None,
    }
}

impl Client<'_> {
    /// One transaction of some kind.
    pub(super) fn step(&mut self) {
        match self.random.u8(..7) {
            0 => bank::step(self),
            1 => ring::step(self),
            2 => set::step(self),
            3 => pair::step(self),
            4 => doctors::step(self),
            5 => token::step(self),
            _ => rooms::step(self),
        }
    }

    /// Runs a transaction that changes something; `None` if it has not been committed.
    fn change<T>(&mut self, body: impl Fn(&Tx) -> Result<T, Error>) -> (super::history::Outcome, Option<T>) {
        let result = self.store.transaction(body);
        let (outcome, unexpected) = outcome(&result);
        self.events.extend(unexpected);
        (outcome, result.ok())
    }

    /// Runs a transaction that does nothing but look. `is_wrong` says what is wrong with what it sees.
    fn look<T>(&mut self, body: impl Fn(&Tx) -> Result<T, Error>, is_wrong: impl Fn(&T) -> Option<String>) -> Option<T> {
        let in_attempts = RefCell::new(None);
        let look = |tx: &Tx| {
            let seen = body(tx)?;
            if let Some(what) = is_wrong(&seen) {
                in_attempts.replace(Some(what));
            }
            Ok(seen)
        };
        // A function that may write reads in other ways than one that only reads.
        let result = if self.random.bool() {
            self.store.transaction_with(TransactionOptions::new().read_only(), look)
        } else {
            self.store.transaction(look)
        };
        let (outcome, unexpected) = outcome(&result);
        self.events.extend(unexpected);
        self.events.push(Event::Did(outcome));
        let wrong = result.as_ref().ok().and_then(is_wrong).or(in_attempts.into_inner().filter(|_| self.is_opaque));
        self.events.extend(wrong.map(|what| Event::Broken { what }));
        result.ok()
    }
}

/// Removes all objects of a type and a round, some at a time.
pub(super) fn clear_all<T: Persistent<Key = (u64, u64)>>(store: &Store, round: u64) -> Result<(), Error> {
    while store.transaction(|tx| {
        let keys: Vec<(u64, u64)> = tx.keys::<T>((round, 0)..(round + 1, 0)).take(CLEARED).collect::<Result<_, Error>>()?;
        keys.iter().try_for_each(|key| tx.remove::<T>(*key).map(drop))?;
        Ok::<_, Error>(keys.len() == CLEARED)
    })? {}
    Ok(())
}
