//! Waiting for a condition: an attempt ends, and is run again once something that it has read has changed.
//!
//! Nothing is missed: what was read is compared with what is there before the wait begins.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::{Attempt, Doom, Ended};
use super::commit::within_function;
use super::conflict::Conflict;
use super::group::{Gate, Group, Outcome};
use super::log::wait;
use super::run::{Next, Transaction};
use super::run_async::{AsyncAttempt, on_attempt, within};
use crate::engine::Seen;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// How many objects an error names.
const NAMED: usize = 8;

/// What has to change before a body is run again.
pub(super) struct Waits {
    seen: Seen,
    objects: String,
    /// The group that its object was read from.
    group: Option<Arc<Group>>,
}

/// What an attempt is waiting for; `None`: it is known that something that it has read is not so.
pub(super) type Wait = Option<Waits>;

/// How a wait has ended; `None`: by the deadline.
type Woken = Option<Result<()>>;

impl Attempt {
    /// As [`Tx::wait_until`](super::Tx::wait_until).
    pub(super) fn wait_until(&self, condition: bool) -> Result<()> {
        if condition {
            return Ok(());
        }
        self.check()?;
        let has_read = {
            let state = self.state.borrow();
            !(state.seen.records.is_empty() && state.seen.ranges.is_empty())
        };
        self.doom(if has_read { Doom::Waits } else { Doom::Failed(nothing_read(self.fixed().name)) });
        self.check()
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state.borrow().doom.as_deref(), Some(Doom::Waits))
    }

    /// The end of an attempt that waits.
    pub(super) fn end_in_wait<Out>(&self) -> Next<Out> {
        // Whoever waits for a change must not be in the way of whoever makes it.
        self.state.borrow_mut().turn = None;
        let group = self.state.borrow().gate.as_ref().map(|gate| gate.group.clone());
        match self.settle_gate() {
            Ok(None) => Next::Wait(Some(self.waits(group))),
            Ok(Some(_)) => Next::Wait(None),
            Err(error) => Next::Fail(error),
        }
    }

    fn waits(&self, group: Option<Arc<Group>>) -> Waits {
        let mut state = self.state.borrow_mut();
        let seen = std::mem::take(&mut state.seen);
        let objects = state.slots.iter().zip(&seen.records).map(|(slot, (key, _))| slot.info.object(key));
        let mut names: Vec<String> = objects.take(NAMED).collect();
        match seen.records.len().saturating_sub(NAMED) {
            0 => {}
            more => names.push(format!("{more} more")),
        }
        if !seen.ranges.is_empty() {
            names.push("the objects in a range of keys".to_owned());
        }
        Waits { seen, objects: names.join(", "), group }
    }
}

impl AsyncAttempt<'_> {
    /// As the one of `Attempt`.
    pub(super) async fn end_in_wait<Out>(&self, mut ended: Ended) -> Next<Out> {
        ended.state.turn = None;
        let group = ended.state.gate.as_ref().map(|gate| gate.group.clone());
        let (ended, settled) = match self.settle_gate(ended).await {
            Ok(settled) => settled,
            Err(error) => return Next::Fail(error),
        };
        Next::Wait(settled.is_none().then(|| on_attempt(ended, |attempt| attempt.waits(group)).1))
    }

    /// As `Attempt::settle_gate`.
    pub(super) async fn settle_gate(&self, mut ended: Ended) -> Result<(Ended, Option<Conflict>)> {
        let Some(gate) = ended.state.gate.take() else { return Ok((ended, None)) };
        let outcome = self.outcome(&gate).await?;
        Ok(on_attempt(ended, |attempt| attempt.settled(&gate, &outcome)))
    }

    /// What has become of the group that was read from.
    pub(super) async fn outcome(&self, gate: &Gate) -> Result<Outcome> {
        let outcome = within(self.store.clock(), self.left(), gate.group.outcome()).await;
        outcome.ok_or_else(|| self.fixed.too_late())
    }
}

impl Waits {
    /// Answers once something that was read has changed.
    async fn change(&self, store: &Store) -> Result<()> {
        wait(store.engine().watch(&self.seen)).await
    }
}

impl Transaction<'_> {
    /// Waits on this thread, after attempt `number`.
    pub(super) fn wait(&mut self, number: u32, waits: Wait) -> Result<()> {
        let Some(waits) = waits else { return self.is_in_time(number) };
        let woken = self.store.waiter(self.fixed.deadline).wait_for(waits.change(self.store));
        self.woken(number, &waits, woken)
    }

    /// Waits in the future.
    pub(super) async fn wait_async(&mut self, number: u32, waits: Wait) -> Result<()> {
        // What changes all the time is not waited for; others of the executor's are let go on all the same.
        give_way().await;
        let Some(waits) = waits else { return self.is_in_time(number) };
        let left = self.fixed.left(self.store.clock());
        let woken = within(self.store.clock(), left, waits.change(self.store)).await;
        self.woken(number, &waits, woken)
    }

    fn is_in_time(&self, number: u32) -> Result<()> {
        match self.fixed.left(self.store.clock()).is_zero() {
            true => Err(self.explain(self.fixed.too_late(), number)),
            false => Ok(()),
        }
    }

    /// After a wait, a transaction goes on as one that has just begun; only its attempts are still counted.
    fn woken(&mut self, number: u32, waits: &Waits, woken: Woken) -> Result<()> {
        let woken = woken.ok_or_else(|| never_true(self.fixed.name, &waits.objects))?;
        woken.map_err(|error| within_function(self.fixed.name, error))?;
        // Where something changes as often as the body runs, it is always woken.
        if self.fixed.left(self.store.clock()).is_zero() {
            return Err(never_true(self.fixed.name, &waits.objects));
        }
        if let Some(group) = &waits.group {
            // What it has left is not what is there any more.
            self.store.groups().forget(group);
        }
        self.hot.clear();
        self.last_conflict = None;
        self.last_wait = Some((number, waits.objects.clone()));
        Ok(())
    }
}

/// Is ready when it is polled again, which is soon.
async fn give_way() {
    let mut has_given_way = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_given_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What a body is told whose condition is not true yet.
pub(super) fn waiting() -> Error {
    let message = "the condition is not true yet; the body will be run again when something that it has read has changed";
    Error::new(ErrorKind::Conflict, message)
}

fn nothing_read(name: &str) -> Error {
    let message = format!("`{name}` waits for a condition, but has read nothing before, so no change could make it true");
    Error::new(ErrorKind::Setup, message)
}

fn never_true(name: &str, objects: &str) -> Error {
    let message =
        format!("the condition of `{name}` did not come true in time; it waited for a change of {objects}; nothing was written");
    Error::new(ErrorKind::Timeout, message)
}

/// The error of a transaction that ran out of time after it had been woken.
pub(super) fn late_after_wait(name: &str, objects: &str, error: Error) -> Error {
    let message =
        format!("`{name}` took longer than its timeout, some of which it waited for a change of {objects}; nothing was written");
    Error::with_source(ErrorKind::Timeout, message, error)
}
