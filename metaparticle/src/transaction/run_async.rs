//! The loop in a future: run the body, wait for the engine where it has to be waited for, commit, and after a conflict again.
//!
//! The body and everything around it that cannot leave the thread live within one call of `poll`; what is kept over an `.await` can.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::Tx;
use super::attempt::{Attempt, Doom, Effect, Ended};
use super::commit::{Committed, REBASES, commit_is_open, read_too_early, within_function};
use super::conflict::{Fresh, insists};
use super::fixed::Fixed;
use super::gate::{Grouped, Origin, Sent};
use super::group::{Group, is_of_one_object};
use super::hot_keys::{HotList, Turn};
use super::log::{Call, Log, wait};
use super::options::TransactionOptions;
use super::outcome::Outcome;
use super::run::{Next, Panic, Transaction, judge, run_body, run_effects, run_nested, running};
use crate::clock::Clock;
use crate::engine::{Answer, CommitId, RecordKey, Reply, Request, Seen, Stamp, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};
use crate::random;
use crate::store::{Store, unconfirmed_commit};
use crate::sync::Delay;

/// Runs `body` as a transaction of `store`, without blocking the thread.
pub(crate) async fn run_async<Out: Outcome>(store: Store, options: TransactionOptions, body: impl Fn(&Tx) -> Out) -> Out {
    // Polled inside of a body, it is a part of that transaction, and that one does the waiting.
    if let Some(out) = running(&store).map(|attempt| run_nested(attempt, options, &body)) {
        return out;
    }
    let mut transaction = Transaction::new(&store, options);
    let (mut number, mut turn, mut fresh, mut known) = (1, None, None, Vec::new());
    loop {
        // One attempt may be begun in several places, which are to agree.
        transaction.fixed.now = Some(transaction.fixed.now(store.clock()));
        let attempt = AsyncAttempt { store: &store, fixed: transaction.fixed, number };
        let conflict = match attempt.run(turn.take(), fresh.take(), &mut known, &body).await {
            Next::Return(out) => return out,
            Next::Fail(error) => return Out::from_error(transaction.explain(error, number)),
            Next::RunAgain(conflict) => conflict,
            Next::Wait(waits) => {
                if let Err(error) = transaction.wait_async(number, waits).await {
                    return Out::from_error(error);
                }
                known.clear();
                continue;
            }
        };
        number += 1;
        let mut conflict = conflict.limited(number, store.hot_keys());
        fresh = conflict.fresh.take().map(|fresh| *fresh);
        let at_once = conflict.at_once;
        let pause = match transaction.wait_before(number, conflict) {
            Ok(pause) => pause,
            Err(error) => return Out::from_error(error),
        };
        if !pause.is_zero() {
            store.clock().delay(pause).await;
        }
        if !at_once && !transaction.hot.is_empty() {
            let patience = transaction.fixed.patience(store.clock());
            let waits = store.hot_keys().clone().turn(transaction.hot.clone(), insists(number));
            turn = within(store.clock(), patience, waits).await;
        }
    }
}

/// One attempt, in a future.
pub(super) struct AsyncAttempt<'a> {
    pub(super) store: &'a Store,
    pub(super) fixed: Fixed,
    number: u32,
}

/// What became of a body.
// Moved once for each run of a body.
#[allow(clippy::large_enum_variant)]
enum Ran<Out> {
    /// It has ended.
    Ended(Ended, Option<Doom>, std::result::Result<Out, Panic>),
    /// Something has to be asked before it can go on.
    Asks(Call, Log, Option<Turn>),
    Failed(Error),
}

impl AsyncAttempt<'_> {
    /// `fresh`: what the one object is that the last attempt had a conflict on. `known`: the keys that the last attempt has asked for, to read them at once; afterwards, those that this one has.
    async fn run<Out: Outcome>(
        &self,
        turn: Option<Turn>,
        fresh: Option<Fresh>,
        known: &mut Vec<RecordKey>,
        body: &impl Fn(&Tx) -> Out,
    ) -> Next<Out> {
        self.store.counters().attempted();
        let (mut log, mut turn) = (Log::new(!self.fixed.read_only), turn);
        self.read_known(&mut log, std::mem::take(known), fresh).await;
        let mut first = Vec::new();
        let (ended, doom, out) = loop {
            let call;
            match self.run_body(log, turn.take(), body) {
                Ran::Ended(ended, Some(Doom::Waits), _) => return self.end_in_wait(ended).await,
                Ran::Ended(ended, doom, Ok(out)) => break (ended, doom, out),
                Ran::Ended(ended, doom, Err(panic)) => return self.after_panic(ended, doom, panic).await,
                Ran::Failed(error) => return Next::Fail(error),
                Ran::Asks(asked, so_far, held) => (call, log, turn) = (asked, so_far, held),
            }
            if self.left().is_zero() {
                return Next::Fail(self.fixed.too_late());
            }
            if log.is_empty() {
                turn = self.queue(turn, &call).await;
                if let Call::Read(keys) = &call {
                    // Whoever had the turn before has mostly left it there.
                    if log.read_from_group(self.store, keys) {
                        continue;
                    }
                    first.clone_from(keys);
                    if self.read_with_guess(&mut log, keys).await {
                        continue;
                    }
                }
            }
            match self.perform(&mut log, call.clone()).await {
                Err(error) if error.is_corrupt() => log.cannot_read(call, error),
                Err(error) => return Next::Fail(error),
                Ok(()) => {}
            }
        };
        *known = ended.log.keys();
        if !first.is_empty() {
            let asked = ended.state.seen.records.iter().map(|(key, _)| key);
            self.store.habits().learn(self.fixed.name, asked.filter(|key| !first.contains(key)).cloned().collect());
        }
        if let Err(next) = judge(doom, out.is_success()) {
            return self.hold_back(ended, next.with(out)).await;
        }
        match self.commit(ended).await {
            Ok((Committed::Done, effects)) => {
                run_effects(effects);
                Next::Return(out)
            }
            Ok((Committed::Conflict(conflict), _)) => Next::RunAgain(conflict),
            Err(error) => Next::Fail(error),
        }
    }

    /// Reads what the last attempt has asked for. What cannot be read is left to the body, which need not ask for it again.
    async fn read_known(&self, log: &mut Log, keys: Vec<RecordKey>, fresh: Option<Fresh>) {
        if !keys.is_empty()
            && (log.read_from_group(self.store, &keys)
                || log.takes(fresh, &keys)
                || self.perform(log, Call::Read(keys.clone())).await.is_ok())
        {
            log.guessed(keys);
        }
    }

    /// Reads what is asked for first, and with it what the function is likely to ask for next; whether there was a guess, and all of
    /// it could be read.
    async fn read_with_guess(&self, log: &mut Log, first: &[RecordKey]) -> bool {
        let habits = self.store.habits();
        let mut guess = habits.guess(self.fixed.name);
        guess.retain(|key| !first.contains(key));
        if guess.is_empty() {
            return false;
        }
        let is_read = self.perform(log, Call::Read([first, &guess].concat())).await.is_ok();
        match is_read {
            true => log.guessed(guess),
            // Without it, the function may well succeed.
            false => habits.forget(self.fixed.name),
        }
        is_read
    }

    /// Runs the body up to its end, or to where something has to be asked.
    fn run_body<Out: Outcome>(&self, log: Log, turn: Option<Turn>, body: &impl Fn(&Tx) -> Out) -> Ran<Out> {
        let attempt = Attempt::new(Rc::new(self.store.clone()), &self.fixed, self.number, turn, Some(Box::new(log)));
        let out = run_body(&attempt, body);
        let doom = attempt.doomed();
        let Ok(attempt) = Rc::try_unwrap(attempt) else {
            return Ran::Failed(Error::new(ErrorKind::Borrowed, "a handle was leaked, so what was changed is not known"));
        };
        let mut ended = attempt.end();
        match ended.log.take_pending() {
            None => Ran::Ended(ended, doom, out),
            Some(call) => Ran::Asks(call, std::mem::take(&mut ended.log), ended.state.turn.take()),
        }
    }

    /// As the one of `run`.
    async fn hold_back<Out>(&self, ended: Ended, next: Next<Out>) -> Next<Out> {
        if !next.tells() {
            return next;
        }
        match self.finish_reading(ended, true).await {
            Ok((_, Committed::Done)) => next,
            Ok((_, Committed::Conflict(conflict))) => Next::RunAgain(conflict),
            Err(error) => Next::Fail(error),
        }
    }

    /// As the one of `run`.
    async fn after_panic<Out>(&self, ended: Ended, doom: Option<Doom>, panic: Panic) -> Next<Out> {
        if let Some(Doom::Conflict(conflict)) = doom {
            return Next::RunAgain(conflict);
        }
        if ended.state.gate.is_some()
            && let Ok((_, Committed::Conflict(conflict))) = self.finish_reading(ended, false).await
        {
            return Next::RunAgain(conflict);
        }
        resume_unwind(panic)
    }

    /// Where others already queue for what is read first, an attempt would only get in their way.
    async fn queue(&self, turn: Option<Turn>, call: &Call) -> Option<Turn> {
        let Call::Read(keys) = call else { return turn };
        let queues = self.store.hot_keys();
        let hot: HotList = keys.iter().filter(|key| queues.is_hot(key)).cloned().collect();
        if turn.is_some() || hot.is_empty() {
            return turn;
        }
        within(self.store.clock(), self.fixed.patience(self.store.clock()), queues.clone().turn(hot, false)).await
    }

    async fn perform(&self, log: &mut Log, call: Call) -> Result<()> {
        let performed = within(self.store.clock(), self.left(), log.perform(self.store.engine(), call)).await;
        performed.unwrap_or_else(|| Err(self.fixed.too_late()))
    }

    pub(super) fn left(&self) -> Duration {
        self.fixed.left(self.store.clock())
    }

    async fn durable(&self, stamp: Stamp) -> Result<()> {
        let durable = within(self.store.clock(), self.left(), wait(self.store.engine().durable(stamp))).await;
        durable.unwrap_or_else(|| Err(self.fixed.too_late()))
    }

    /// As `Attempt::commit`.
    async fn commit(&self, mut ended: Ended) -> Result<(Committed, Vec<Effect>)> {
        let since = self.store.groups().moment();
        let mut round = 0;
        while round <= REBASES {
            let prepared;
            (ended, prepared) = on_attempt(ended, |attempt| attempt.prepare(round));
            if let Some(call) = ended.log.take_pending() {
                self.perform(&mut ended.log, call).await?;
                continue;
            }
            let (committed, sent);
            let write = match prepared {
                Ok(Some(write)) => write,
                Ok(None) => {
                    let waits = ended.state.waits_for_disk(&self.fixed);
                    (ended, committed) = self.finish_reading(ended, waits).await?;
                    return Ok((committed, ended.into_effects()));
                }
                Err(error) => return self.fail(ended, error).await,
            };
            (ended, sent) = self.send(ended, &write).await?;
            let (reply, origin) = match sent {
                Sent::Reply(reply) => (reply, Origin::Engine),
                Sent::Behind(reply) => (reply, Origin::Ahead),
                Sent::Conflict(conflict) => return Ok((Committed::Conflict(conflict), Vec::new())),
                Sent::Joined(group) => {
                    let grouped;
                    (ended, grouped) = self.finish_with(&group, since, ended).await?;
                    match grouped {
                        Grouped::Done => return Ok((Committed::Done, ended.into_effects())),
                        Grouped::Differs(reply) => (reply, Origin::Group),
                        Grouped::Conflict(conflict) => return Ok((Committed::Conflict(conflict), Vec::new())),
                    }
                }
            };
            if reply.differs.is_empty() {
                (ended, ()) = on_attempt(ended, Attempt::written);
                match ended.state.waits_for_disk(&self.fixed) {
                    true => self.durable(reply.durable_at).await.map_err(|error| commit_is_open(self.fixed.name, error))?,
                    false => self.store.flush_at_exit(reply.durable_at),
                }
                return Ok((Committed::Done, ended.into_effects()));
            }
            let conflict;
            (ended, conflict) = on_attempt(ended, |attempt| attempt.rebase_or_conflict(&reply, origin, round));
            if let Some(call) = ended.log.take_pending() {
                // A schema that is not known yet; the reply is asked for again.
                self.perform(&mut ended.log, call).await?;
                continue;
            }
            match conflict {
                Ok(Some(conflict)) => return Ok((Committed::Conflict(conflict), Vec::new())),
                Ok(None) => round += 1,
                Err(error) => return self.fail(ended, error).await,
            }
        }
        Err(Error::new(ErrorKind::Conflict, "a commit was rebased too often"))
    }

    /// As `Attempt::fail`.
    async fn fail(&self, ended: Ended, error: Error) -> Result<(Committed, Vec<Effect>)> {
        if error.is_timeout() {
            return Err(error);
        }
        match self.finish_reading(ended, true).await? {
            (_, Committed::Done) => Err(error),
            (_, conflict) => Ok((conflict, Vec::new())),
        }
    }

    /// As `Attempt::finish_reading`.
    async fn finish_reading(&self, mut ended: Ended, wait: bool) -> Result<(Ended, Committed)> {
        ended.state.turn = None;
        if let Some(gate) = ended.state.gate.take() {
            let outcome = self.outcome(&gate).await?;
            let mut conflict;
            (ended, conflict) = on_attempt(ended, |attempt| attempt.read_from(&gate, &outcome));
            if conflict.is_none() && gate.was_sent {
                let compared = self.ask(&mut ended, &[], CommitId(0)).await?;
                if !compared.differs.is_empty() {
                    self.store.groups().forget(&gate.group);
                    let fresh = Fresh::of(&compared);
                    (ended, conflict) = on_attempt(ended, |attempt| Some(attempt.conflict(&compared.differs).of_group(fresh)));
                }
            }
            if let Some(conflict) = conflict {
                return Ok((ended, Committed::Conflict(conflict)));
            }
        }
        if wait && !planted(Bug::ForgetOutputGate) {
            self.durable(ended.state.durable_at).await.map_err(|error| read_too_early(self.fixed.name, error))?;
        }
        Ok((ended, Committed::Done))
    }

    /// As `Attempt::finish_with`.
    async fn finish_with(&self, group: &Arc<Group>, since: u64, mut ended: Ended) -> Result<(Ended, Grouped)> {
        ended.state.turn = None;
        let outcome = within(self.store.clock(), self.left(), group.outcome()).await;
        let (ended, grouped) = on_attempt(ended, |attempt| attempt.grouped(group, since, outcome));
        Ok((ended, grouped?))
    }

    /// As `Attempt::send`.
    async fn send(&self, mut ended: Ended, write: &[Write]) -> Result<(Ended, Sent)> {
        let id = CommitId(random::id());
        if is_of_one_object(&ended.state.seen, write) {
            let (at_once, is_grouped) = match self.store.engine().execute(self.request(&ended.state.seen, write, id)) {
                Answer::Ready(reply) => (Some(reply?), false),
                Answer::Later(_) => (None, false),
                Answer::Committing(_) => (None, true),
            };
            if let Some(reply) = at_once {
                return Ok((ended, Sent::Reply(reply)));
            }
            if is_grouped {
                let (ended, sent) = on_attempt(ended, |attempt| attempt.join_group(write));
                let sent = sent.ok_or_else(|| Error::new(ErrorKind::Engine, "a commit of one object has no group"))?;
                return Ok((ended, sent));
            }
        }
        let conflict;
        (ended, conflict) = self.settle_gate(ended).await?;
        if let Some(conflict) = conflict {
            return Ok((ended, Sent::Conflict(conflict)));
        }
        let reply = self.ask(&mut ended, write, id).await?;
        Ok((ended, Sent::Reply(reply)))
    }

    fn request<'a>(&self, compare: &'a Seen, write: &'a [Write], id: CommitId) -> Request<'a> {
        Request { compare, read: &[], write, id, durability: self.fixed.durability }
    }

    async fn ask(&self, ended: &mut Ended, write: &[Write], id: CommitId) -> Result<Reply> {
        let compare = std::mem::take(&mut ended.state.seen);
        let answer = self.store.engine().execute(self.request(&compare, write, id));
        let handed_over = matches!(answer, Answer::Committing(_));
        let reply = within(self.store.clock(), self.left(), wait(answer)).await;
        ended.state.seen = compare;
        let late = || if handed_over { unconfirmed_commit() } else { self.fixed.too_late() };
        reply.unwrap_or_else(|| Err(late())).map_err(|error| within_function(self.fixed.name, error))
    }
}

/// Calls `f` on the attempt again, within one poll.
pub(super) fn on_attempt<R>(ended: Ended, f: impl FnOnce(&Attempt) -> R) -> (Ended, R) {
    let attempt = Attempt::resume(ended);
    let result = f(&attempt);
    (attempt.end(), result)
}

/// The future's result, or `None` if it takes longer.
pub(super) async fn within<T>(clock: &dyn Clock, patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let deadline = clock.now().saturating_add(patience);
    // Most futures are ready at once, and need no timer.
    let mut delay = None;
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        let delay = pin!(delay.get_or_insert_with(|| Delay::new(patience)));
        let over = clock.now() >= deadline || delay.poll(context).is_ready();
        if over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}
