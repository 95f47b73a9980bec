//! A log and a map that say what a power cut would leave of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::embedded::Embedded;
use crate::engine::embedded::map::{Found, Group, Log, OrderedMap};
use crate::engine::{Engine, KeyRange, Limits, Record, RecordKey};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Mutex;

/// A disk with the files of one store: a log, and a map that follows it.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// What each group counts as in the log. From 16 MiB on, the map has to follow at once.
    group_bytes: u64,
}

#[derive(Clone, Default)]
struct State {
    /// Groups that survive a power cut, and that the map may not have.
    log: Vec<Group>,
    /// A group that was written, and is not synced.
    unsynced: Option<Group>,
    /// The newest commit that was ever in the log.
    logged: u64,
    map: BTreeMap<RecordKey, Record>,
    /// The newest commit that the map has.
    applied: u64,
    /// Keys that the map is changing: their records cannot be read.
    changing: BTreeSet<RecordKey>,
    /// After so many groups more, the log fails.
    fails_after: Option<usize>,
}

impl Disk {
    /// An empty one. Each group that was not released counts as so many bytes of the log.
    pub fn new(group_bytes: u64) -> Self {
        Self::of(State::default(), group_bytes)
    }

    fn of(state: State, group_bytes: u64) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), group_bytes }))
    }

    /// Opens what is on it: what the engines in a folder are, but for their files.
    ///
    /// # Errors
    /// None that the model makes.
    pub fn open(&self, cache_bytes: u64, flush_interval: Duration) -> Result<impl Engine + use<>> {
        let open_log = |replay: &mut dyn FnMut(Group) -> Result<()>| {
            let log = {
                let state = self.0.state.lock();
                let missing = state.log.iter().filter(|group| group.last_commit > state.applied);
                missing.cloned().collect::<Vec<_>>()
            };
            log.into_iter().try_for_each(replay)?;
            Ok(DiskLog(self.clone()))
        };
        Embedded::over(Arc::new(DiskMap(self.clone())), open_log, cache_bytes, flush_interval)
    }

    /// What a power cut would leave now. Of what is not synced, all if `lucky`.
    pub fn after_power_cut(&self, lucky: bool) -> Self {
        let mut state = self.0.state.lock().clone();
        if let (Some(group), true) = (state.unsynced.take(), lucky) {
            state.log.push(group);
        }
        state.changing.clear();
        state.fails_after = None;
        state.logged = state.log.last().map_or(state.applied, |group| group.last_commit);
        Self::of(state, self.0.group_bytes)
    }

    /// Has the log fail when it is given another group after so many.
    pub fn fail_after(&self, groups: usize) {
        self.0.state.lock().fails_after = Some(groups);
    }
}

/// The disk, as the flusher has it.
struct DiskLog(Disk);

impl Log for DiskLog {
    fn append(&mut self, group: &Group) -> Result<()> {
        {
            let mut state = self.0.0.state.lock();
            assert!(group.last_commit > state.logged, "commit {} comes after {}", group.last_commit, state.logged);
            match &mut state.fails_after {
                Some(0) => return Err(Error::new(ErrorKind::Engine, "the disk is broken")),
                Some(groups) => *groups -= 1,
                None => {}
            }
            state.logged = group.last_commit;
            state.unsynced = Some(group.clone());
        }
        // Written, and not synced, is what others find until here.
        let mut state = self.0.0.state.lock();
        let synced = state.unsynced.take();
        state.log.extend(synced);
        Ok(())
    }

    fn release(&mut self, commit: u64) -> Result<()> {
        let mut state = self.0.0.state.lock();
        assert!(commit <= state.applied, "the log forgets commit {commit}, and the map has {} only", state.applied);
        state.log.retain(|group| group.last_commit > commit);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.0.0.state.lock().log.len() as u64 * self.0.0.group_bytes
    }
}

/// The disk, as readers and the follower have it.
struct DiskMap(Disk);

impl State {
    fn record(&self, key: &[u8]) -> Result<Option<Record>> {
        if self.changing.contains(key) {
            return Err(Error::new(ErrorKind::Corrupt, "the record is halfway between two states"));
        }
        Ok(self.map.get(key).cloned())
    }
}

impl OrderedMap for DiskMap {
    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        self.0.0.state.lock().record(key)
    }

    fn range(&self, range: &KeyRange, limit: usize, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Found>> {
        let state = self.0.0.state.lock();
        let found = state.map.range(range.start.clone()..range.end.clone()).take(limit);
        let record = |key| if wanted(key) { state.record(key) } else { Ok(None) };
        found.map(|(key, _)| Ok((key.clone(), record(key)?))).collect()
    }

    fn apply(&self, group: &Group) -> Result<()> {
        self.0.0.state.lock().changing = group.changes.iter().map(|(key, _)| key.clone()).collect();
        let mut state = self.0.0.state.lock();
        for (key, record) in &group.changes {
            match record {
                Some(record) => drop(state.map.insert(key.clone(), record.clone())),
                None => drop(state.map.remove(key)),
            }
        }
        state.changing.clear();
        state.applied = group.last_commit;
        Ok(())
    }

    fn last_commit(&self) -> u64 {
        self.0.0.state.lock().applied
    }

    fn limits(&self) -> Limits {
        Limits::NONE
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("group_bytes", &self.0.group_bytes).finish_non_exhaustive()
    }
}
