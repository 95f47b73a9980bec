//! Objects that point to the next one are always one ring. (FoundationDB tests its isolation with this workload, and calls it Cycle.)

use metaparticle::{Error, Tx, persistent};

use super::Client;
use crate::serializable::event::Event;

const NODES: u64 = 8;

#[persistent(key = (u64, u64))]
pub(super) struct Node {
    next: u64,
}

pub(super) fn prepare(tx: &Tx, round: u64) -> Result<(), Error> {
    (0..NODES).try_for_each(|number| tx.insert((round, number), Node { next: (number + 1) % NODES }))
}

pub(super) fn step(client: &mut Client<'_>) {
    let round = client.round;
    if client.random.bool() {
        client.look(|tx| walk(tx, round), |steps| (*steps != NODES).then(|| format!("ring: of {steps} instead of {NODES}")));
    } else {
        let first = client.random.u64(..NODES);
        let (outcome, _) = client.change(|tx| turn(tx, round, first));
        client.events.push(Event::Did(outcome));
    }
}

/// Takes the second of four nodes out, and puts it behind the third.
fn turn(tx: &Tx, round: u64, first: u64) -> Result<(), Error> {
    let mut one = tx.get_mut::<Node>((round, first))?;
    let second = one.next;
    let mut two = tx.get_mut::<Node>((round, second))?;
    let third = two.next;
    let mut three = tx.get_mut::<Node>((round, third))?;
    (one.next, two.next, three.next) = (third, three.next, second);
    Ok(())
}

/// How many steps it takes to come back.
fn walk(tx: &Tx, round: u64) -> Result<u64, Error> {
    let (mut at, mut steps) = (tx.get::<Node>((round, 0))?.next, 1);
    while at != 0 && steps <= NODES {
        at = tx.get::<Node>((round, at))?.next;
        steps += 1;
    }
    Ok(steps)
}
