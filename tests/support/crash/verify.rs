//! Looks at a store that a crash has left.

use std::fmt;
use std::ops::RangeInclusive;

use metaparticle::{Error, Result, Store, Tx};

use super::{COUNTED, KEPT, PARTS, Part, Progress, SLOTS, Slot, Total, empties_slot, part, slot};

/// What a crash must not do, and what shows it.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// In one word: `lost`, `invented`, `torn`, `unreadable`.
    pub kind: &'static str,
    /// What was found.
    pub what: String,
}

impl Wrong {
    fn torn(what: String) -> Self {
        Self { kind: "torn", what }
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self { kind: "unreadable", what: format!("{error:?}") }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.what)
    }
}

/// Checks that the store has what its threads have written and nothing else; gives the next number of each. `bounds` says for each
/// thread where its next number must be: what it was told to be durable is the least, what it has begun the most.
///
/// # Errors
/// What is wrong.
pub fn verify(store: &Store, bounds: &[RangeInclusive<u64>]) -> Result<Vec<u64>, Wrong> {
    store.transaction(|tx| {
        let next = progress(tx, bounds.len())?;
        check_parts(tx, &next)?;
        check_slots(tx, &next)?;
        let (count, expected) = (tx.get::<Total>(())?.count, next.iter().map(|next| next.div_ceil(COUNTED)).sum::<u64>());
        if count != expected {
            return Err(Wrong::torn(format!("the total is {count}, and the threads {next:?} have counted {expected}")));
        }
        for (thread, (next, bounds)) in next.iter().zip(bounds).enumerate() {
            let kind = match next {
                next if next < bounds.start() => "lost",
                next if next > bounds.end() => "invented",
                _ => continue,
            };
            return Err(Wrong { kind, what: format!("thread {thread} has come to {next}, which should be in {bounds:?}") });
        }
        Ok(next)
    })
}

/// How far each thread has come.
fn progress(tx: &Tx, threads: usize) -> Result<Vec<u64>, Wrong> {
    let progress = (0..threads as u64).map(|thread| tx.get::<Progress>(thread));
    let progress = progress.map(|progress| progress.map(|progress| (progress.next, progress.seen)));
    let progress = progress.collect::<Result<Vec<_>>>()?;
    for (thread, &(next, seen)) in progress.iter().enumerate() {
        let (other, _) = progress[(thread + 1) % threads];
        if seen > other {
            let what =
                format!("thread {thread} has come to {next} and has seen the next one come to {seen}, and it is at {other}");
            return Err(Wrong::torn(what));
        }
    }
    if let Some(key) = tx.keys::<Progress>(threads as u64..).next().transpose()? {
        return Err(Wrong { kind: "invented", what: format!("there is no thread {key}") });
    }
    Ok(progress.into_iter().map(|(next, _)| next).collect())
}

fn check_parts(tx: &Tx, next: &[u64]) -> Result<(), Wrong> {
    let numbers =
        next.iter().zip(0..).flat_map(|(&next, thread)| (next.saturating_sub(KEPT)..next).map(move |number| (thread, number)));
    let mut expected = numbers.flat_map(|(thread, number)| (0..PARTS).map(move |index| (thread, number, index)));
    for entry in tx.range::<Part>(..) {
        let (key, found) = entry?;
        let expected = expected.next();
        if expected != Some(key) {
            return Err(Wrong::torn(format!("part {key:?} is there, and should be {expected:?}, with threads at {next:?}")));
        }
        if found.payload != part(key.0, key.1, key.2) {
            return Err(Wrong::torn(format!("part {key:?} has bytes that nobody has written")));
        }
    }
    expected.next().map_or(Ok(()), |key| Err(Wrong::torn(format!("part {key:?} is missing, with threads at {next:?}"))))
}

fn check_slots(tx: &Tx, next: &[u64]) -> Result<(), Wrong> {
    for (&next, thread) in next.iter().zip(0..) {
        let mut expected = [None; SLOTS as usize];
        for number in next.saturating_sub(SLOTS)..next {
            expected[(number % SLOTS) as usize] = (!empties_slot(number)).then_some(number);
        }
        for (number, place) in expected.into_iter().zip(0..) {
            let found = tx.get::<Option<Slot>>((thread, place))?;
            let found = found.as_ref().map(|slot| (slot.number, &*slot.payload));
            let payload = number.map(|number| slot(thread, number));
            if found != number.zip(payload.as_deref()) {
                let found = found.map(|(number, _)| number);
                let what = format!("slot {place} of thread {thread} at {next} has {found:?}, and should have {number:?}");
                return Err(Wrong::torn(what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use metaparticle::Durability;

    use super::super::write;
    use super::*;

    const THREADS: u64 = 3;
    const NUMBERS: u64 = 35;

    /// What is wrong with a store after its threads have written so many numbers, and `change` was made.
    fn wrong_after(change: impl Fn(&Tx) -> Result<()>) -> Option<&'static str> {
        let store = Store::open("memory:").expect("opens");
        for number in 0..NUMBERS {
            for thread in 0..THREADS {
                assert_eq!(write(&store, thread, THREADS, Durability::Immediate).expect("writes"), number);
            }
        }
        store.transaction(|tx| change(tx)).expect("changes");
        verify(&store, &[NUMBERS..=NUMBERS, NUMBERS - 1..=NUMBERS, NUMBERS..=NUMBERS + 1]).err().map(|wrong| wrong.kind)
    }

    #[test]
    fn what_was_written_is_right() {
        assert_eq!(wrong_after(|_| Ok(())), None);
    }

    #[test]
    fn what_is_missing_or_has_changed_is_noticed() {
        let last = NUMBERS - 1;
        let torn = Some("torn");
        assert_eq!(wrong_after(|tx| tx.remove::<Part>((1, last, 2)).map(drop)), torn, "a part is gone");
        assert_eq!(wrong_after(|tx| tx.insert((1, last, 2), Part { payload: part(1, last, 1) })), torn, "another part");
        assert_eq!(wrong_after(|tx| tx.insert((1, 0, 0), Part { payload: part(1, 0, 0) })), torn, "a part is back");
        assert_eq!(wrong_after(|tx| tx.remove::<Slot>((2, last % SLOTS)).map(drop)), torn, "a slot is gone");
        let old = last - SLOTS;
        let put_back = |tx: &Tx| tx.insert((2, old % SLOTS), Slot { number: old, payload: slot(2, old) });
        assert_eq!(wrong_after(put_back), torn, "a slot is as it was");
        let count = |tx: &Tx| {
            tx.get_mut::<Total>(())?.set_count(1);
            Ok(())
        };
        assert_eq!(wrong_after(count), torn, "the total is wrong");
        let see = |tx: &Tx| {
            tx.get_mut::<Progress>(0)?.set_seen(NUMBERS + 1);
            Ok(())
        };
        assert_eq!(wrong_after(see), torn, "a thread was seen further than it is");
        assert_eq!(wrong_after(|tx| tx.insert(THREADS, Progress { next: 0, seen: 0 })), Some("invented"), "another thread");
    }

    #[test]
    fn a_number_too_few_is_lost_and_one_too_many_is_invented() {
        for (numbers, kind) in [(0, "lost"), (2, "invented")] {
            let store = Store::open("memory:").expect("opens");
            for _ in 0..numbers {
                write(&store, 0, 1, Durability::Immediate).expect("writes");
            }
            let wrong = verify(&store, &[1..=1]).expect_err("it is wrong");
            assert_eq!(wrong.kind, kind);
        }
    }
}
