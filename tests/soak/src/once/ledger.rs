//! What callers were told, and whether what is there bears it out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::campaign::Failure;
use crate::figures::Figures;

/// A call, and how often its caller has tried it before. It has one number for ever, whatever became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) tried: u32,
}

/// How a mark begins.
pub(super) const MARK: &str = "once:";
/// How many hexadecimal digits follow: the number, and the try.
pub(super) const DIGITS: (usize, usize) = (16, 4);

impl Call {
    /// The text by which a commit of it is known on its way.
    pub(super) fn mark(self) -> String {
        format!("{MARK}{:0id$x}{:0tried$x}", self.id, self.tried, id = DIGITS.0, tried = DIGITS.1)
    }
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was done by this try.
    Now,
    /// It had been done by a try before.
    Before,
    /// An error, by which nothing was written.
    Nothing,
    /// That it is not known; or nothing, because it has not waited for the end.
    Unknown,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By changes of one object.
    pub(super) appended: Vec<(u64, u32)>,
    /// By changes of three objects: in the first of them, in the second, and how many by the third.
    pub(super) entered: Vec<(u64, u32)>,
    pub(super) entries: Vec<(u64, u32)>,
    pub(super) counted: u64,
    /// By the call that holds the slot.
    pub(super) held: Option<(u64, u32)>,
}

/// What the callers of one round were told, for each call the tries in their order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: BTreeMap<u64, Vec<Told>>,
    /// Of calls that wanted to hold the slot, and have freed it if they did.
    takes: BTreeMap<u64, Vec<Told>>,
}

impl Ledger {
    pub(super) fn note(&mut self, call: Call, told: Told) {
        add(&mut self.calls, call, told);
    }

    pub(super) fn note_take(&mut self, call: Call, told: Told) {
        add(&mut self.takes, call, told);
    }

    /// Adds what was told to the figures; `unknown`: the tries that have had no answer to a commit.
    pub(super) fn count(&self, unknown: &HashSet<Call>, figures: &mut Figures) {
        for (name, kind) in [
            ("acknowledged", Told::Now),
            ("repeated", Told::Before),
            ("refused", Told::Nothing),
            ("indeterminate", Told::Unknown),
        ] {
            let told = self.calls.values().chain(self.takes.values()).flatten().filter(|told| **told == kind).count();
            figures.add(name, told as u64);
        }
        let told = |call: &Call| self.calls.get(&call.id).or(self.takes.get(&call.id))?.get(call.tried as usize);
        let settled = unknown.iter().filter(|call| told(call) == Some(&Told::Now)).count();
        figures.add("settled", settled as u64);
    }

    /// Compares all with what is there.
    pub(super) fn compare(&self, found: &Found) -> Result<(), Failure> {
        let made = tries(&found.appended, &found.entered)?;
        let sorted = |calls: &[(u64, u32)]| calls.iter().copied().collect::<BTreeSet<_>>();
        let (logged, entered) = (sorted(&found.entered), sorted(&found.entries));
        if logged != entered || logged.len() as u64 != found.counted {
            let odd: Vec<_> = logged.symmetric_difference(&entered).collect();
            let what = format!("{} are in the logs, {} were counted, and {odd:?} is not everywhere", logged.len(), found.counted);
            return Err(Failure::new("torn", what));
        }
        for (id, told) in &self.calls {
            let made = made.get(id);
            judge(told, made.copied()).map_err(|(figure, what)| {
                Failure::new(figure, format!("call {id}: {what}; its tries were told {told:?}, and {made:?} was found"))
            })?;
        }
        if let Some(id) = made.keys().find(|id| !self.calls.contains_key(id)) {
            return Err(Failure::new("untrue", format!("call {id} was made by nobody")));
        }
        let told = |(id, tried): (u64, u32)| self.takes.get(&id)?.get(tried as usize);
        match found.held {
            // It may have come when its caller had gone.
            Some(held) if told(held) != Some(&Told::Unknown) => {
                let (id, tried) = held;
                let what =
                    format!("try {tried} of call {id} holds the slot, which nobody should by now; it was told {:?}", told(held));
                Err(Failure::new("untrue", what))
            }
            _ => Ok(()),
        }
    }
}

fn add(calls: &mut BTreeMap<u64, Vec<Told>>, call: Call, told: Told) {
    let tries = calls.entry(call.id).or_default();
    // Each try is over before the next one.
    assert_eq!(tries.len(), call.tried as usize, "a try is missing");
    tries.push(told);
}

/// By which try each call was made; an error, if it was made twice.
fn tries(some: &[(u64, u32)], others: &[(u64, u32)]) -> Result<HashMap<u64, u32>, Failure> {
    let mut made = HashMap::new();
    for (id, tried) in some.iter().chain(others) {
        if let Some(other) = made.insert(*id, *tried) {
            return Err(Failure::new("doubled", format!("call {id} was made by its try {other} and by its try {tried}")));
        }
    }
    Ok(made)
}

/// Whether what the tries of one call were told is true, given which of them has made it.
fn judge(told: &[Told], made: Option<u32>) -> Result<(), (&'static str, &'static str)> {
    let now = told.iter().position(|told| *told == Told::Now);
    let before = told.iter().position(|told| *told == Told::Before);
    let Some(made) = made.map(|made| made as usize) else {
        let is_lost = now.is_some() || before.is_some();
        return if is_lost { Err(("lost", "it was acknowledged, and is not there")) } else { Ok(()) };
    };
    match told.get(made) {
        _ if told.iter().filter(|told| **told == Told::Now).count() > 1 => {
            Err(("doubled", "two tries were told that they made it"))
        }
        None => Err(("untrue", "it was made by a try that nobody has made")),
        Some(Told::Nothing) => Err(("untrue", "it was made by a try that was told that nothing was written")),
        Some(Told::Before) => Err(("untrue", "it was made by a try that was told that another one had made it")),
        Some(Told::Unknown) if now.is_some() => Err(("untrue", "it was made by another try than the one that was told so")),
        _ if before.is_some_and(|before| before < made) => Err(("untrue", "a try was told so before it was made")),
        Some(_) => Ok(()),
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.iter().try_for_each(|(id, told)| writeln!(f, "call {id} {told:?}"))?;
        self.takes.iter().try_for_each(|(id, told)| writeln!(f, "slot {id} {told:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Told::{Before, Nothing, Now, Unknown};
    use super::*;

    fn figure(told: &[Told], made: Option<u32>) -> &'static str {
        judge(told, made).map_or_else(|(figure, _)| figure, |()| "true")
    }

    #[test]
    fn what_was_told_is_judged_by_what_is_there() {
        for (told, made, figure_of) in [
            (&[Now][..], Some(0), "true"),
            (&[Now, Before], Some(0), "true"),
            (&[Unknown, Before], Some(0), "true"),
            (&[Unknown, Now], Some(1), "true"),
            (&[Unknown], Some(0), "true"),
            (&[Unknown], None, "true"),
            (&[Nothing, Unknown, Nothing, Now], Some(3), "true"),
            (&[Now], None, "lost"),
            (&[Unknown, Before], None, "lost"),
            (&[Nothing], Some(0), "untrue"),
            (&[Before], Some(0), "untrue"),
            (&[Before, Now], Some(1), "untrue"),
            (&[Unknown, Now], Some(0), "untrue"),
            (&[Nothing, Before], Some(0), "untrue"),
            (&[Now, Now], Some(1), "doubled"),
            (&[Now], Some(1), "untrue"),
        ] {
            assert_eq!(figure(told, made), figure_of, "{told:?}, {made:?}");
        }
    }

    #[test]
    fn what_is_there_twice_or_in_part_is_noticed() {
        let mut ledger = Ledger::default();
        (0..2).for_each(|id| ledger.note(Call { id, tried: 0 }, Now));
        let found = || Found { appended: vec![(0, 0)], entered: vec![(1, 0)], entries: vec![(1, 0)], counted: 1, held: None };
        assert!(ledger.compare(&found()).is_ok());
        let figure = |change: fn(&mut Found)| {
            let mut changed = found();
            change(&mut changed);
            ledger.compare(&changed).map_or_else(|failure| failure.figure, |()| "true")
        };
        assert_eq!(figure(|found| found.appended.push((0, 0))), "doubled");
        assert_eq!(figure(|found| (found.entered.push((1, 0)), found.counted = 2).1), "doubled");
        assert_eq!(figure(|found| found.counted = 2), "torn");
        assert_eq!(figure(|found| found.entries.clear()), "torn");
        assert_eq!(figure(|found| found.entries[0].1 = 1), "torn");
        assert_eq!(figure(|found| found.appended.clear()), "lost");
        assert_eq!(figure(|found| found.appended.push((7, 0))), "untrue");
        assert_eq!(figure(|found| found.held = Some((0, 0))), "untrue");
    }
}
