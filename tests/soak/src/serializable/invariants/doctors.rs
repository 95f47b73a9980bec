//! Of two doctors, one at least is on call: write skew, if what was only read could change.

use metaparticle::{Error, Mut, Ref, Tx, persistent, transactional};

use super::Client;
use crate::serializable::event::Event;

const PAIRS: u64 = 2;

#[persistent(key = (u64, u64))]
pub(super) struct Doctor {
    on_call: bool,
    shifts: u64,
}

pub(super) fn prepare(tx: &Tx, round: u64) -> Result<(), Error> {
    (0..2 * PAIRS).try_for_each(|number| tx.insert((round, number), Doctor { on_call: true, shifts: 0 }))
}

/// Leaves if the other one stays, and comes otherwise.
#[transactional]
fn change(me: &mut Doctor, other: Ref<Doctor>) -> Result<(), Error> {
    std::thread::yield_now();
    me.on_call = !other.on_call || !me.on_call;
    me.shifts += 1;
    Ok(())
}

/// The same, without an interest in anything else.
#[transactional]
fn change_with_accessors(me: Mut<Doctor>, other: Mut<Doctor>) -> Result<(), Error> {
    let on_call = !*other.on_call() || !*me.on_call();
    std::thread::yield_now();
    me.set_on_call(on_call);
    Ok(())
}

pub(super) fn step(client: &mut Client<'_>) {
    let (round, me) = (client.round, client.random.u64(..2 * PAIRS));
    let (me, other) = ((round, me), (round, me ^ 1));
    let (outcome, _) = match client.random.u8(..4) {
        0 => {
            let on_call = |tx: &Tx| Ok((tx.get::<Doctor>(me)?.on_call, tx.get::<Doctor>(other)?.on_call));
            client.look(on_call, |on_call| (*on_call == (false, false)).then(|| "doctors: none is on call".to_owned()));
            return;
        }
        1 => client.change(|_| change_with_accessors(me, other)),
        _ => client.change(|_| change(me, other)),
    };
    client.events.push(Event::Did(outcome));
}
