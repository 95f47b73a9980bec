//! Objects that come into being and go.

use metaparticle::{Result, Tx, persistent};

use super::{Job, together};
use crate::explorer::network::Network;
use crate::explorer::place::{Place, User, below};

#[persistent(key = u64)]
struct Booking {
    who: u64,
}

/// How many bookings there are in a range that has an end.
fn bookings(tx: &Tx, way: usize) -> Result<usize> {
    let mut count = 0;
    match way {
        0 => {
            for key in tx.keys::<Booking>(1..9) {
                key?;
                count += 1;
            }
        }
        _ => {
            for entry in tx.range::<Booking>(1..9) {
                entry?;
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Books, unless somebody else has.
fn book(user: &User, key: u64, way: usize) -> bool {
    user.run(|tx| {
        let is_free = bookings(tx, way)? == 0;
        if is_free {
            tx.insert(key, Booking { who: key })?;
        }
        Ok(is_free)
    })
}

/// A range that was found empty is empty when the transaction commits.
pub(super) fn phantom() {
    let place = Place::any();
    if below(2) == 0 {
        // Neighbours of the range, and one in it that has gone.
        place.run(|tx| [0, 4, 9].into_iter().try_for_each(|key| tx.insert(key, Booking { who: key })));
        place.run(|tx| tx.remove::<Booking>(4));
    }
    let jobs = [1, 8, 5].map(|key| {
        let (user, way) = (place.user(), below(2));
        Box::new(move || book(&user, key, way)) as Job<bool>
    });
    let booked = together(jobs).into_iter().filter(|booked| *booked).count();
    assert_eq!((booked, place.read(|tx| bookings(tx, 0))), (1, 1), "bookings were made, and are there");
}

#[persistent(default)]
struct Gone {
    is_gone: bool,
}

/// A key that is removed and comes back, as it was, is not what it was before.
pub(super) fn returning_key() {
    let place = Place::any();
    place.run(|tx| tx.insert(1, Booking { who: 7 }));
    let user = place.user();
    let remove = Box::new(move || {
        user.run(|tx| {
            tx.remove::<Booking>(1)?;
            tx.insert("it", Gone { is_gone: true })
        });
        user.run(|tx| {
            tx.insert(1, Booking { who: 7 })?;
            tx.insert("it", Gone { is_gone: false })
        });
    }) as Job<()>;
    let user = place.user();
    let look = Box::new(move || {
        for _ in 0..2 {
            user.run(|tx| {
                let is_there = tx.contains::<Booking>(1)?;
                let is_gone = tx.get::<Gone>("it")?.is_gone;
                assert_ne!(is_there, is_gone, "it is there and gone");
                // Committed, so that what was read is compared.
                tx.insert("seen", Gone { is_gone })
            });
        }
    }) as Job<()>;
    together([remove, look]);
}

#[persistent(default)]
struct First {
    left: u64,
    right: String,
}

/// A type that several threads, or processes, use for the first time is stored as one.
pub(super) fn first_use() {
    let place = Place::any();
    let network = Network::new();
    let processes = match below(3) {
        0 => [Place::on_network(&network), Place::on_network(&network)].map(|process| process.user()),
        _ => [place.user(), place.user()],
    };
    let place = processes[1].clone();
    let jobs = [("a", 0), ("b", 1), ("a", 1)].map(|(key, process)| {
        let user = processes[process].clone();
        Box::new(move || {
            user.run(|tx| {
                let mut first = tx.get_mut::<First>(key)?;
                first.left += 1;
                first.right.push('x');
                Ok(())
            });
            user.read(|tx| tx.get::<First>(key).map(|first| assert_eq!(first.left as usize, first.right.len())));
        }) as Job<()>
    });
    together(jobs);
    let read = |key| place.read(|tx| tx.get::<First>(key).map(|first| (first.left, first.right.clone())));
    assert_eq!([read("a"), read("b")], [(2, "xx".to_owned()), (1, "x".to_owned())]);
}
