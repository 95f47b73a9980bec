//! The names in folders: what a power cut cannot undo, and what it can. A rename is done or undone as a whole.

use std::collections::BTreeMap;

/// A file or folder, whatever its name is.
pub(super) type Id = usize;

/// A folder, and a name in it.
pub(super) type Place = (Id, String);

/// What has which name.
pub(super) type Tree = BTreeMap<Place, Id>;

/// What is not synced of the names, in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) durable: Tree,
    pub(super) current: Tree,
    steps: Vec<Step>,
}

/// One call: what the places that it concerns have now.
#[derive(Clone, Debug)]
struct Step {
    sets: Vec<(Place, Option<Id>)>,
    /// Whatever has or had one of the places.
    concerned: Vec<Id>,
}

impl Step {
    /// Whether one makes no sense without the other.
    fn belongs_to(&self, other: &Self) -> bool {
        self.concerned.iter().any(|id| other.concerned.contains(id))
            || self.sets.iter().any(|(place, _)| other.sets.iter().any(|(other, _)| place == other))
    }

    fn carry_out(&self, tree: &mut Tree) {
        for (place, id) in &self.sets {
            match id {
                Some(id) => tree.insert(place.clone(), *id),
                None => tree.remove(place),
            };
        }
    }
}

/// Which steps a power cut leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// Those that come first: a file system with a journal of its own.
    First(f64),
    /// Any, this part of them, unless one that they need is undone.
    Any(f64),
}

impl Names {
    pub(super) fn set(&mut self, sets: Vec<(Place, Option<Id>)>) {
        let had = sets.iter().filter_map(|(place, _)| self.current.get(place).copied());
        let concerned = had.chain(sets.iter().filter_map(|(_, id)| *id)).collect();
        let step = Step { sets, concerned };
        step.carry_out(&mut self.current);
        self.steps.push(step);
    }

    /// The names in a folder are durable now, with all that had to happen before.
    pub(super) fn sync(&mut self, folder: Id) {
        let mut synced: Vec<bool> = self.steps.iter().map(|step| step.sets.iter().any(|((at, _), _)| *at == folder)).collect();
        for later in (0..self.steps.len()).rev().filter(|at| synced[*at]).collect::<Vec<_>>() {
            self.need(later, &mut synced);
        }
        let (durable, mut at) = (&mut self.durable, 0);
        self.steps.retain(|step| {
            let is_synced = synced[at];
            at += 1;
            if is_synced {
                step.carry_out(durable);
            }
            !is_synced
        });
    }

    /// Marks what step `later` needs.
    fn need(&self, later: usize, marked: &mut [bool]) {
        for earlier in (0..later).rev() {
            if !marked[earlier] && self.steps[later].belongs_to(&self.steps[earlier]) {
                marked[earlier] = true;
                self.need(earlier, marked);
            }
        }
    }

    /// What is left after a power cut, and how many steps are undone.
    pub(super) fn after(&self, kept: Kept, random: &mut fastrand::Rng) -> (Tree, u64) {
        let mut left = self.durable.clone();
        let mut undone: Vec<&Step> = Vec::new();
        let first = match kept {
            Kept::First(part) => (self.steps.len() as f64 * part).round() as usize,
            Kept::Any(_) => 0,
        };
        for (at, step) in self.steps.iter().enumerate() {
            let is_kept = match kept {
                Kept::First(_) => at < first,
                Kept::Any(part) => random.f64() < part,
            };
            if is_kept && !undone.iter().any(|other| step.belongs_to(other)) {
                step.carry_out(&mut left);
            } else {
                undone.push(step);
            }
        }
        (left, undone.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_UNDONE: Kept = Kept::Any(0.0);

    fn place(folder: Id, name: &str) -> Place {
        (folder, name.to_owned())
    }

    fn left(names: &Names, kept: Kept) -> Tree {
        names.after(kept, &mut fastrand::Rng::with_seed(1)).0
    }

    #[test]
    fn a_rename_is_undone_as_a_whole() {
        let mut names = Names::default();
        names.set(vec![(place(0, "old"), Some(7))]);
        names.sync(0);
        names.set(vec![(place(0, "old"), None), (place(0, "new"), Some(7))]);
        assert_eq!(left(&names, ALL_UNDONE), Tree::from([(place(0, "old"), 7)]));
        assert_eq!(left(&names, Kept::Any(1.0)), Tree::from([(place(0, "new"), 7)]));
        names.sync(0);
        assert_eq!(left(&names, ALL_UNDONE), Tree::from([(place(0, "new"), 7)]));
    }

    #[test]
    fn a_step_is_not_left_without_one_that_it_needs() {
        let mut names = Names::default();
        names.set(vec![(place(0, "unnamed"), Some(7))]);
        names.set(vec![(place(0, "unnamed"), None), (place(0, "name"), Some(7))]);
        names.set(vec![(place(0, "other"), Some(8))]);
        for seed in 0..100 {
            let (left, undone) = names.after(Kept::Any(0.5), &mut fastrand::Rng::with_seed(seed));
            let is_there = |name: &str| left.contains_key(&place(0, name));
            assert!(!(is_there("unnamed") && is_there("name")));
            assert_eq!(
                undone,
                3 - u64::from(is_there("other")) - u64::from(is_there("unnamed")) - 2 * u64::from(is_there("name"))
            );
        }
    }

    #[test]
    fn a_sync_of_one_folder_leaves_out_the_others() {
        let mut names = Names::default();
        names.set(vec![(place(0, "folder"), Some(1))]);
        names.set(vec![(place(1, "file"), Some(2))]);
        names.sync(1);
        assert_eq!(left(&names, ALL_UNDONE), Tree::from([(place(1, "file"), 2)]));
        names.set(vec![(place(1, "file"), None), (place(0, "file"), Some(2))]);
        names.sync(0);
        assert_eq!(left(&names, ALL_UNDONE), Tree::from([(place(0, "file"), 2), (place(0, "folder"), 1)]));
    }
}
