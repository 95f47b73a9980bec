//! A room is booked by one guest at most: a phantom, if what was not there when a range was read could come.

use metaparticle::{Error, Tx, persistent};

use super::Client;
use crate::serializable::event::Event;

const ROOMS: u64 = 2;

/// The second part of the key is the room, and the guest in the lower half.
#[persistent(key = (u64, u64))]
pub(super) struct Booking {
    by: u64,
}

pub(super) fn step(client: &mut Client<'_>) {
    let (round, room) = (client.round, client.random.u64(..ROOMS));
    if client.random.u8(..4) == 0 {
        client.look(
            |tx| bookings(tx, round, room),
            |bookings| (bookings.len() > 1).then(|| format!("rooms: booked by {bookings:?}")),
        );
        return;
    }
    client.number += client.stride;
    let guest = client.number;
    let (outcome, _) = client.change(|tx| book_or_leave(tx, round, room, guest));
    client.events.push(Event::Did(outcome));
}

fn bookings(tx: &Tx, round: u64, room: u64) -> Result<Vec<u64>, Error> {
    let keys = tx.keys::<Booking>((round, room << 32)..(round, (room + 1) << 32));
    keys.map(|key| Ok(key?.1)).collect()
}

fn book_or_leave(tx: &Tx, round: u64, room: u64, guest: u64) -> Result<(), Error> {
    let booked = bookings(tx, round, room)?;
    std::thread::yield_now();
    if booked.is_empty() {
        return tx.insert((round, room << 32 | guest), Booking { by: guest });
    }
    booked.into_iter().try_for_each(|booking| tx.remove::<Booking>((round, booking)).map(drop))
}
