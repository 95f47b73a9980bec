//! Two counters that are incremented together are always equal, and in the end they say how often.

use metaparticle::{Error, Mut, Store, Tx, persistent, transactional};

use super::Client;
use crate::serializable::checker::Anomaly;
use crate::serializable::event::Event;
use crate::serializable::history::Outcome;

#[persistent(default, key = (u64, u64))]
pub(super) struct Counter {
    n: u64,
    /// Incremented only by some.
    other: u64,
}

/// Works on one object alone in each half, as far as that goes.
#[transactional]
fn increment(counter: Mut<Counter>) -> Result<(), Error> {
    *counter.n_mut() += 1;
    Ok(())
}

#[transactional]
fn touch(counter: Mut<Counter>) -> Result<(), Error> {
    *counter.other_mut() += 1;
    Ok(())
}

pub(super) fn step(client: &mut Client<'_>) {
    let round = client.round;
    match client.random.u8(..6) {
        0 | 1 => {
            client.look(|tx| both(tx, round), |(one, other)| (one != other).then(|| format!("pair: {one} and {other}")));
        }
        2 => {
            let (outcome, _) = client.change(|_| touch((round, 0)));
            client.events.push(Event::Did(outcome));
        }
        _ => {
            let first = client.random.u64(..2);
            let (outcome, _) = client.change(|_| {
                increment((round, first))?;
                increment((round, 1 - first))
            });
            client.events.push(Event::Incremented(outcome));
        }
    }
}

fn both(tx: &Tx, round: u64) -> Result<(u64, u64), Error> {
    Ok((tx.get::<Counter>((round, 0))?.n, tx.get::<Counter>((round, 1))?.n))
}

pub(super) fn read(store: &Store, round: u64) -> Result<(u64, u64), Error> {
    store.transaction(|tx| both(tx, round))
}

/// Whether each that was committed has incremented both once, and none of the others has.
pub(super) fn check((one, other): (u64, u64), events: &[Event]) -> Option<Anomaly> {
    let count =
        |outcome| events.iter().filter(|event| matches!(event, Event::Incremented(one) if *one == outcome)).count() as u64;
    let (committed, unknown) = (count(Outcome::Committed), count(Outcome::Unknown));
    if one < committed || other < committed {
        return Some(Anomaly::new("lost", format!("pair: {one} and {other}, incremented {committed} times")));
    }
    let is_too_much = one.max(other) > committed + unknown;
    is_too_much
        .then(|| Anomaly::new("doubled", format!("pair: {one} and {other}, incremented {committed} times, {unknown} unknown")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_or_doubled_is_found() {
        let events = [Outcome::Committed, Outcome::Committed, Outcome::Failed, Outcome::Unknown].map(Event::Incremented);
        let kind = |counted| check(counted, &events).map(|anomaly| anomaly.kind);
        assert_eq!([(2, 2), (3, 3), (1, 2), (2, 1), (4, 4)].map(kind), [None, None, Some("lost"), Some("lost"), Some("doubled")]);
    }
}
