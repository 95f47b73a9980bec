//! What holds an attempt's result back: the group that it has read from, or is committed with.

use std::sync::Arc;

use super::attempt::Attempt;
use super::commit::{Committed, commit_is_open, read_too_early, within_function};
use super::conflict::{Conflict, Fresh};
use super::group::{Failed, Gate, Group, Joined, Outcome};
use crate::engine::{Differs, RecordKey, Reply, Request, Stamp, Write};
use crate::error::Result;
use crate::planted::{Bug, planted};
use crate::store::unconfirmed_commit;

/// What has become of a commit when it was sent.
pub(super) enum Sent {
    Reply(Reply),
    Joined(Arc<Group>),
    /// Not sent: what it is based on will be something else.
    Behind(Reply),
    /// Not sent: what it is based on is not so.
    Conflict(Conflict),
}

/// Where it is known from that a commit cannot be made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// The engine's answer to this commit.
    Engine,
    /// The engine's answer to its group.
    Group,
    /// A group that goes ahead, and may fail yet.
    Ahead,
}

/// What has become of a commit that joined a group.
pub(super) enum Grouped {
    Done,
    /// Not committed; what the object is instead.
    Differs(Reply),
    Conflict(Conflict),
}

impl Attempt {
    /// Reads from a group, if that is all that the attempt has seen. Read-only functions ask the engine: then they need not wait
    /// for a commit.
    pub(super) fn read_from_group(&self, keys: &[RecordKey]) -> Option<Reply> {
        let [key] = keys else { return None };
        if self.fixed().read_only || !self.has_seen_nothing() {
            return None;
        }
        let (record, gate) = self.store.groups().read(&self.store, key)?;
        self.state.borrow_mut().gate = Some(gate);
        Some(Reply { read: vec![record], ..reply(Differs::default()) })
    }

    /// Reads on this thread what no group has.
    pub(super) fn read_now(&self, keys: &[RecordKey]) -> Result<Reply> {
        let fresh = self.state.borrow_mut().fresh.take();
        if let ([key], Some(fresh)) = (keys, fresh)
            && *key == fresh.key
            && self.has_seen_nothing()
        {
            let Fresh { record, durable_at, .. } = *fresh;
            return Ok(Reply { read: vec![record], durable_at, ..reply(Differs::default()) });
        }
        if let Some(conflict) = self.settle_gate()? {
            return Ok(reply(conflict.differs()));
        }
        let (state, waiter) = (self.state.borrow(), self.waiter());
        let request = Request { compare: &state.seen, read: keys, ..waiter.request() };
        waiter.wait(self.store.engine().execute(request))
    }

    fn has_seen_nothing(&self) -> bool {
        let state = self.state.borrow();
        state.seen.records.is_empty() && state.seen.ranges.is_empty()
    }

    /// Waits for the group that was read from, before anything else is asked.
    pub(super) fn settle_gate(&self) -> Result<Option<Conflict>> {
        let Some(gate) = self.state.borrow_mut().gate.take() else { return Ok(None) };
        let outcome = self.waiter().wait_for(gate.group.outcome()).ok_or_else(|| self.fixed().too_late())?;
        Ok(self.settled(&gate, &outcome))
    }

    /// What was seen, now that it is known what has become of the group that it was read from.
    pub(super) fn settled(&self, gate: &Gate, outcome: &Outcome) -> Option<Conflict> {
        let mut state = self.state.borrow_mut();
        if let Some(index) = state.index_of(gate.group.key())
            && let Some(version) = gate.group.version_now(state.seen.records[index].1, outcome)
        {
            state.seen.records[index].1 = version;
            if let (Some(base), Some(version)) = (&mut state.slots[index].base, version) {
                base.version = version;
            }
            return None;
        }
        drop(state);
        Some(self.conflict(&gate.group.differs()).of_group(None))
    }

    /// Has the commit join a group; `None` if it cannot.
    pub(super) fn join_group(&self, write: &[Write]) -> Option<Sent> {
        let mut state = self.state.borrow_mut();
        Some(match self.store.groups().join(&self.store, &state.seen, write, self.number() - 1)? {
            Joined::Member(group) => Sent::Joined(group),
            Joined::Behind(gate, differs) => {
                state.gate = Some(gate);
                Sent::Behind(reply(differs))
            }
        })
    }

    /// Waits for the group that the attempt is committed with. `since`: when its commit began.
    pub(super) fn finish_with(&self, group: &Arc<Group>, since: u64) -> Result<Grouped> {
        // Whoever waits for its turn goes on with what this one has left.
        self.state.borrow_mut().turn = None;
        let outcome = self.waiter().wait_for(group.outcome());
        self.grouped(group, since, outcome)
    }

    /// What the group's outcome means for one of its members; `None`: it did not come in time.
    pub(super) fn grouped(&self, group: &Arc<Group>, since: u64, outcome: Option<Outcome>) -> Result<Grouped> {
        let outcome = outcome.unwrap_or_else(|| match group.has_failed() {
            true => Err(Failed::NotSent),
            false => Err(Failed::Error(unconfirmed_commit())),
        });
        match outcome {
            Ok(_) => {
                self.store.groups().keep(group);
                self.store.counters().committed();
                Ok(Grouped::Done)
            }
            // What was asked earlier may be older than this transaction, and nobody would notice if it writes nothing then.
            Err(Failed::Conflict { fresh, asked, durable_at }) if asked > since => {
                let differs = Differs { records: vec![(group.key().clone(), fresh)], ..Differs::default() };
                Ok(Grouped::Differs(Reply { durable_at, ..reply(differs) }))
            }
            Err(Failed::Conflict { .. } | Failed::NotSent) => {
                Ok(Grouped::Conflict(self.conflict(&group.differs()).of_group(None)))
            }
            Err(Failed::Error(error)) => Err(within_function(self.fixed().name, error)),
            Err(Failed::NotDurable(error)) => Err(commit_is_open(self.fixed().name, error)),
        }
    }

    /// The end of an attempt that has changed nothing. `wait`: its result is held back until what it is based on is durable.
    pub(super) fn finish_reading(&self, wait: bool) -> Result<Committed> {
        self.state.borrow_mut().turn = None;
        let gate = self.state.borrow_mut().gate.take();
        if let Some(gate) = gate {
            let outcome = self.waiter().wait_for(gate.group.outcome()).ok_or_else(|| self.fixed().too_late())?;
            if let Some(conflict) = self.read_from(&gate, &outcome) {
                return Ok(Committed::Conflict(conflict));
            }
            if gate.was_sent {
                let (state, waiter) = (self.state.borrow(), self.waiter());
                let compared = waiter.wait(self.store.engine().execute(Request { compare: &state.seen, ..waiter.request() }))?;
                if !compared.differs.is_empty() {
                    self.store.groups().forget(&gate.group);
                    return Ok(Committed::Conflict(self.conflict(&compared.differs).of_group(Fresh::of(&compared))));
                }
            }
        }
        let stamp = self.state.borrow().durable_at;
        if wait && !planted(Bug::ForgetOutputGate) {
            self.wait_durable(stamp).map_err(|error| read_too_early(self.fixed().name, error))?;
        }
        Ok(Committed::Done)
    }

    /// Whether what was read from a group is so. Of one that was not sent yet, also what its members have only passed on to each
    /// other is: they are all committed at one later instant, in their order. One that was sent may have been committed, and
    /// changed by others since, before this transaction began; so that has to be compared once more.
    pub(super) fn read_from(&self, gate: &Gate, outcome: &Outcome) -> Option<Conflict> {
        match (gate.was_sent, outcome) {
            (false, Ok(_)) => None,
            (false, Err(_)) => Some(self.conflict(&gate.group.differs()).of_group(None)),
            (true, _) => self.settled(gate, outcome),
        }
    }
}

/// A reply that an engine need not be asked for.
fn reply(differs: Differs) -> Reply {
    Reply { read: Vec::new(), differs, version: None, stamp: Stamp(0), durable_at: Stamp(0) }
}
