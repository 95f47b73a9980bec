//! Elements that are added stay: whoever reads the set sees all that was there before, and none that is not.
//!
//! And if it sees an element, also those that had been added before that one was (the workload that is known as causal reverse).

use std::collections::HashMap;

use metaparticle::{Error, Store, Tx, persistent};

use super::Client;
use crate::serializable::checker::Anomaly;
use crate::serializable::event::Event;
use crate::serializable::history::Outcome;
use crate::serializable::now;

#[persistent(key = (u64, u64))]
pub(super) struct Element {
    added: bool,
}

pub(super) fn step(client: &mut Client<'_>) {
    let round = client.round;
    let start = now();
    if client.random.u8(..3) == 0 {
        let elements = client.look(|tx| elements(tx, round), |_| None);
        client.events.extend(elements.map(|elements| Event::Scanned { start, end: now(), elements }));
        return;
    }
    client.number += client.stride;
    // In the order of the keys they come anywhere.
    let element = client.number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
    let (outcome, _) = client.change(|tx| tx.insert((round, element), Element { added: true }));
    client.events.push(Event::Added { element, start, end: now(), outcome });
}

fn elements(tx: &Tx, round: u64) -> Result<Vec<u64>, Error> {
    tx.keys::<Element>((round, 0)..(round + 1, 0)).map(|key| Ok(key?.1)).collect()
}

/// The last reading.
pub(super) fn read(store: &Store, round: u64) -> Result<Event, Error> {
    let start = now();
    let elements = store.transaction(|tx| elements(tx, round))?;
    Ok(Event::Scanned { start, end: now(), elements })
}

/// What is known of an element.
struct Known {
    start: u64,
    outcome: Outcome,
    /// From then on it is there.
    since: u64,
}

pub(super) fn check(last: &Event, events: &[Event]) -> Vec<Anomaly> {
    let mut known: HashMap<u64, Known> = HashMap::new();
    for event in events {
        if let Event::Added { element, start, end, outcome } = event {
            let since = if *outcome == Outcome::Committed { *end } else { u64::MAX };
            known.insert(*element, Known { start: *start, outcome: *outcome, since });
        }
    }
    let scans: Vec<(u64, u64, &[u64])> = events
        .iter()
        .chain([last])
        .filter_map(|event| match event {
            Event::Scanned { start, end, elements } => Some((*start, *end, &**elements)),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for (_, end, elements) in &scans {
        for element in *elements {
            match known.get_mut(element).filter(|known| known.outcome != Outcome::Failed) {
                Some(known) => known.since = known.since.min(*end),
                None => found.push(Anomaly::new("garbage", format!("set: {element} was not added, and was read until {end}"))),
            }
        }
    }
    for (start, _, elements) in &scans {
        // The last of those that are there was added after all that must be there too.
        let newest = elements.iter().filter_map(|element| known.get(element)).map(|known| known.start).max();
        for (element, known) in &known {
            let is_old = known.since < *start || newest.is_some_and(|newest| known.since < newest);
            if is_old && elements.binary_search(element).is_err() {
                let what = format!("set: {element}, there since {}, is missing in what was read from {start} on", known.since);
                found.push(Anomaly::new("lost", what));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(element: u64, start: u64, end: u64, outcome: Outcome) -> Event {
        Event::Added { element, start, end, outcome }
    }

    fn scanned(start: u64, end: u64, elements: &[u64]) -> Event {
        Event::Scanned { start, end, elements: elements.to_vec() }
    }

    fn kinds(events: &[Event], last: &[u64]) -> Vec<&'static str> {
        check(&scanned(100, 101, last), events).iter().map(|anomaly| anomaly.kind).collect()
    }

    #[test]
    fn what_is_missing_or_was_never_added_is_found() {
        let one = added(1, 1, 2, Outcome::Committed);
        assert!(kinds(std::slice::from_ref(&one), &[1]).is_empty());
        assert_eq!(kinds(std::slice::from_ref(&one), &[]), ["lost"]);
        assert_eq!(kinds(&[], &[1]), ["garbage"]);
        assert_eq!(kinds(&[added(1, 1, 2, Outcome::Failed)], &[1]), ["garbage"]);
        assert!(kinds(&[added(1, 1, 2, Outcome::Unknown)], &[]).is_empty());
        // It was there once.
        assert_eq!(kinds(&[added(1, 1, 2, Outcome::Unknown), scanned(3, 4, &[1])], &[]), ["lost"]);
    }

    #[test]
    fn a_later_element_without_an_earlier_one_is_found() {
        let two = [added(1, 1, 2, Outcome::Committed), added(2, 3, 4, Outcome::Committed)];
        // While both were added.
        let scan = |elements: &[u64]| kinds(&[two[0].clone(), two[1].clone(), scanned(1, 9, elements)], &[1, 2]);
        assert!(scan(&[]).is_empty() && scan(&[1]).is_empty() && scan(&[1, 2]).is_empty());
        assert_eq!(scan(&[2]), ["lost"]);
    }
}
