//! What a call does: transactions that leave the call's name wherever they write.

use metaparticle::{Error, Tx, persistent};

use super::ledger::{Call, Found, Told};

/// Calls, in the order in which they were made.
#[persistent(default, key = u64)]
struct Log {
    calls: Vec<(u64, u32)>,
    /// The mark of the last one, by which its commit is known on its way.
    mark: String,
}

/// How many calls were made in a log that has one.
#[persistent(default, key = u64)]
struct Counter {
    n: u64,
}

/// A call that was made; only ever inserted.
#[persistent(key = u64)]
struct Entry {
    tried: u32,
    mark: String,
}

/// What one call of a round at a time holds. It is absent again and again, so that a commit which comes late finds what it has compared.
#[persistent(key = u64)]
struct Slot {
    call: u64,
    tried: u32,
    mark: String,
}

/// What takes more to compare than some engines can at once.
#[persistent(key = u64)]
struct Page {
    n: u64,
}

/// How many pages there are.
const PAGES: u64 = 150;

/// Logs of each kind, and counters, in a round.
const PLACES: u64 = 4;

/// What a call is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// Changes one object only; such calls are committed in groups.
    Append,
    /// Changes three objects.
    Enter,
    /// As `Enter`, after it has read a range of keys.
    EnterAfterLook,
    /// As `Enter`, after it has read more than some engines can compare at once.
    EnterAfterMuch,
    /// Makes an object that must not be there.
    Take,
    /// Removes it again.
    Free,
}

impl Deed {
    pub(super) fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(..32) {
            0..9 => Self::Append,
            9..18 => Self::Enter,
            18..21 => Self::EnterAfterLook,
            21 => Self::EnterAfterMuch,
            _ => Self::Take,
        }
    }
}

/// All that decides what a transaction does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) call: Call,
    pub(super) deed: Deed,
    pub(super) round: u64,
    /// It changes everything, and then fails.
    pub(super) fails: bool,
}

/// Why a transaction has come to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Its body has refused.
    Refused,
    Store(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Job {
    fn place(&self) -> u64 {
        self.round * PLACES + self.call.id % PLACES
    }

    /// The body. A call that is repeated looks whether it was made.
    pub(super) fn carry_out(&self, tx: &Tx) -> Result<Told, Trouble> {
        let told = match self.deed {
            Deed::Append => self.append(tx),
            Deed::Enter => self.enter(tx),
            Deed::EnterAfterLook => {
                let first = self.call.id.saturating_sub(20);
                tx.keys::<Entry>(first..self.call.id).try_for_each(|key| key.map(drop))?;
                self.enter(tx)
            }
            Deed::EnterAfterMuch => {
                tx.range::<Page>(..).try_for_each(|page| page.map(drop))?;
                self.enter(tx)
            }
            Deed::Take => self.take(tx),
            Deed::Free => self.free(tx),
        }?;
        if self.fails { Err(Trouble::Refused) } else { Ok(told) }
    }

    fn append(&self, tx: &Tx) -> Result<Told, Trouble> {
        let mut log = tx.get_mut::<Log>(self.place())?;
        let Call { id, tried } = self.call;
        if tried > 0 && log.calls.iter().any(|(call, _)| *call == id) {
            return Ok(Told::Before);
        }
        log.calls.push((id, tried));
        log.mark = self.call.mark();
        Ok(Told::Now)
    }

    fn enter(&self, tx: &Tx) -> Result<Told, Trouble> {
        let Call { id, tried } = self.call;
        if tried > 0 && tx.contains::<Entry>(id)? {
            return Ok(Told::Before);
        }
        // Whoever is called for the first time need not look: it is there only if it is made twice.
        tx.insert(id, Entry { tried, mark: self.call.mark() })?;
        tx.get_mut::<Log>(u64::MAX - self.place())?.calls.push((id, tried));
        tx.get_mut::<Counter>(self.place())?.n += 1;
        Ok(Told::Now)
    }

    fn take(&self, tx: &Tx) -> Result<Told, Trouble> {
        let Call { id, tried } = self.call;
        match tx.get::<Option<Slot>>(self.round)? {
            Some(slot) if slot.call == id => return Ok(Told::Before),
            Some(_) => return Err(Trouble::Refused),
            None => {}
        }
        tx.insert(self.round, Slot { call: id, tried, mark: self.call.mark() })?;
        Ok(Told::Now)
    }

    fn free(&self, tx: &Tx) -> Result<Told, Trouble> {
        let is_own = tx.get::<Option<Slot>>(self.round)?.is_some_and(|slot| slot.call == self.call.id);
        if !is_own {
            return Ok(Told::Before);
        }
        tx.remove::<Slot>(self.round)?;
        Ok(Told::Now)
    }
}

/// Makes what calls only read.
pub(super) fn prepare(tx: &Tx) -> metaparticle::Result<()> {
    (0..PAGES).try_for_each(|n| tx.insert(n, Page { n }))
}

/// What the calls of a round have left, among them those with these numbers.
pub(super) fn look(tx: &Tx, round: u64, ids: std::ops::Range<u64>) -> metaparticle::Result<Found> {
    let mut found = Found::default();
    for entry in tx.range::<Entry>(ids) {
        let (id, entry) = entry?;
        found.entries.push((id, entry.tried));
    }
    for place in round * PLACES..(round + 1) * PLACES {
        found.appended.extend(&tx.get::<Log>(place)?.calls);
        found.entered.extend(&tx.get::<Log>(u64::MAX - place)?.calls);
        found.counted += tx.get::<Counter>(place)?.n;
    }
    found.held = tx.get::<Option<Slot>>(round)?.map(|slot| (slot.call, slot.tried));
    Ok(found)
}
