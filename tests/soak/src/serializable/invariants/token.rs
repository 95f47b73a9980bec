//! One object goes from place to place, and counts how often: it is removed in one place, and inserted in the other.
//!
//! Whoever has seen it in one place must notice that it has been away meanwhile, although it is there again.

use metaparticle::{Error, Store, Tx, persistent};

use super::Client;
use crate::serializable::checker::Anomaly;
use crate::serializable::event::Event;
use crate::serializable::history::Outcome;

const PLACES: u64 = 2;

#[persistent(key = (u64, u64))]
pub(super) struct Token {
    moves: u64,
}

pub(super) fn prepare(tx: &Tx, round: u64) -> Result<(), Error> {
    tx.insert((round, 0), Token { moves: 0 })
}

pub(super) fn step(client: &mut Client<'_>) {
    let round = client.round;
    if client.random.u8(..4) == 0 {
        let is_wrong = |tokens: &Vec<_>| (tokens.len() != 1).then(|| format!("token: (place, moves) {tokens:?}"));
        client.look(|tx| tokens(tx, round), is_wrong);
        return;
    }
    let (outcome, _) = client.change(|tx| {
        for (place, moves) in tokens(tx, round)? {
            std::thread::yield_now();
            tx.remove::<Token>((round, place))?;
            tx.insert((round, (place + 1) % PLACES), Token { moves: moves + 1 })?;
        }
        Ok(())
    });
    client.events.push(Event::Moved(outcome));
}

/// The places where it is, and its moves.
fn tokens(tx: &Tx, round: u64) -> Result<Vec<(u64, u64)>, Error> {
    let mut tokens = Vec::new();
    for place in 0..PLACES {
        if let Some(token) = tx.get::<Option<Token>>((round, place))? {
            tokens.push((place, token.moves));
        }
    }
    Ok(tokens)
}

pub(super) fn read(store: &Store, round: u64) -> Result<Vec<(u64, u64)>, Error> {
    store.transaction(|tx| tokens(tx, round))
}

/// Whether it has counted each committed move once.
pub(super) fn check(tokens: &[(u64, u64)], events: &[Event]) -> Option<Anomaly> {
    let count = |outcome| events.iter().filter(|event| matches!(event, Event::Moved(one) if *one == outcome)).count() as u64;
    let (committed, unknown) = (count(Outcome::Committed), count(Outcome::Unknown));
    let what = format!("token: (place, moves) {tokens:?}, moved {committed} times, {unknown} unknown");
    match tokens {
        [(_, moves)] if *moves < committed => Some(Anomaly::new("lost", what)),
        [(_, moves)] if *moves > committed + unknown => Some(Anomaly::new("doubled", what)),
        [_] => None,
        _ => Some(Anomaly::new("broken", what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_that_are_lost_or_doubled_are_found() {
        let events = [Outcome::Committed, Outcome::Committed, Outcome::Failed, Outcome::Unknown].map(Event::Moved);
        let kind = |tokens: &[(u64, u64)]| check(tokens, &events).map(|anomaly| anomaly.kind);
        assert_eq!([1, 2, 3, 4].map(|moves| kind(&[(0, moves)])), [Some("lost"), None, None, Some("doubled")]);
        assert_eq!([kind(&[]), kind(&[(0, 2), (1, 2)])], [Some("broken"); 2]);
    }
}
