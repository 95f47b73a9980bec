//! Those who call, on threads and in tasks, and repeat what they do not know the end of.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use metaparticle::{ErrorKind, Store, TransactionOptions};

use super::calls::{Deed, Job, Trouble};
use super::ledger::{Call, Ledger, Told};
use crate::campaign::{Failure, Result};

/// How often a caller tries at most, while there are faults.
const TRIES: u32 = 4;

/// How a transaction is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    Thread,
    Task,
}

/// What callers of one round share.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) round: u64,
    /// The number of the next call.
    pub(super) next: &'a AtomicU64,
    /// Nobody begins anything new.
    pub(super) is_over: AtomicBool,
    pub(super) ledger: Mutex<Ledger>,
    /// What was not known at the end of the last try; and some of the rest.
    pub(super) open: Mutex<Vec<Job>>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(round: u64, next: &'a AtomicU64) -> Self {
        Self { round, next, is_over: AtomicBool::new(false), ledger: Mutex::default(), open: Mutex::default() }
    }

    /// Calls until the round is over.
    pub(super) async fn work(&self, store: &Store, caller: Caller, mut random: fastrand::Rng) -> Result<()> {
        while !self.is_over.load(Ordering::Relaxed) {
            let call = Call { id: self.next.fetch_add(1, Ordering::Relaxed), tried: 0 };
            let deed = Deed::random(&mut random);
            let fails = random.u8(..32) == 0;
            let job = Job { call, deed, round: self.round, fails };
            let done = match deed {
                Deed::Take => self.take_and_free(store, caller, Job { fails: false, ..job }, &mut random).await,
                _ => self.repeat(store, caller, job, &mut random).await,
            };
            if done.is_err() {
                self.is_over.store(true, Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    }

    /// Tries once or several times, as users do.
    async fn repeat(&self, store: &Store, caller: Caller, mut job: Job, random: &mut fastrand::Rng) -> Result<()> {
        loop {
            let options = TransactionOptions::new().name("a call");
            let is_impatient = random.u8(..8) == 0;
            let options = if is_impatient { options.timeout(Duration::from_millis(random.u64(5..300))) } else { options };
            let leaves =
                (matches!(caller, Caller::Task) && random.u8(..16) == 0).then(|| Duration::from_millis(random.u64(..50)));
            let told = once(store, caller, options, leaves, job).await?;
            lock(&self.ledger).note(job.call, told);
            job.call.tried += 1;
            let goes_on = match told {
                Told::Unknown => random.u8(..4) > 0,
                Told::Nothing => random.bool(),
                Told::Now | Told::Before => random.u8(..16) == 0,
            };
            if !goes_on || job.call.tried == TRIES {
                if told == Told::Unknown || random.u8(..8) == 0 {
                    lock(&self.open).push(Job { fails: false, ..job });
                }
                return Ok(());
            }
        }
    }

    /// Holds the slot for a while, if it is free, and until it is known to be freed.
    async fn take_and_free(&self, store: &Store, caller: Caller, mut take: Job, random: &mut fastrand::Rng) -> Result<()> {
        let options = TransactionOptions::new().name("a call with the slot");
        let taken = loop {
            let told = once(store, caller, options, None, take).await?;
            lock(&self.ledger).note_take(take.call, told);
            take.call.tried += 1;
            if told != Told::Unknown {
                break told;
            }
        };
        if taken == Told::Nothing {
            return Ok(());
        }
        if taken == Told::Before && take.call.tried == 1 {
            return Err(Failure::new("untrue", format!("call {} holds the slot before it has taken it", take.call.id)));
        }
        let held = Duration::from_micros(random.u64(..5000));
        match caller {
            Caller::Thread => std::thread::sleep(held),
            Caller::Task => tokio::time::sleep(held).await,
        }
        let free = Job { deed: Deed::Free, ..take };
        let mut is_known = true;
        loop {
            match once(store, caller, options, None, free).await? {
                Told::Now => return Ok(()),
                Told::Before if is_known => {
                    let what = format!("call {} was told that it holds the slot, and does not", take.call.id);
                    return Err(Failure::new("lost", what));
                }
                Told::Before => return Ok(()),
                Told::Unknown => is_known = false,
                Told::Nothing => {}
            }
        }
    }

    /// Now that there are no faults, everybody who asks again is to be told.
    pub(super) fn settle(&self, store: &Store) -> Result<()> {
        for job in std::mem::take(&mut *lock(&self.open)) {
            let told = pollster::block_on(once(store, Caller::Thread, TransactionOptions::new(), None, job))?;
            lock(&self.ledger).note(job.call, told);
            if !matches!(told, Told::Now | Told::Before) {
                let what = format!("call {} was told {told:?} although nothing was in its way", job.call.id);
                return Err(Failure::new("untrue", what));
            }
        }
        Ok(())
    }
}

/// One try. `leaves`: after so long nobody waits for it any more.
async fn once(store: &Store, caller: Caller, options: TransactionOptions, leaves: Option<Duration>, job: Job) -> Result<Told> {
    let result = match caller {
        Caller::Thread => store.transaction_with(options, |tx| job.carry_out(tx)),
        Caller::Task => {
            let future = store.transaction_async_with(options, move |tx| job.carry_out(tx));
            match leaves {
                None => future.await,
                Some(patience) => match tokio::time::timeout(patience, future).await {
                    Ok(result) => result,
                    Err(_) => return Ok(Told::Unknown),
                },
            }
        }
    };
    match result {
        Ok(told) => Ok(told),
        Err(Trouble::Refused) => Ok(Told::Nothing),
        Err(Trouble::Store(error)) => match error.kind() {
            ErrorKind::Indeterminate => Ok(Told::Unknown),
            ErrorKind::Conflict | ErrorKind::Timeout => Ok(Told::Nothing),
            _ => Err(Failure::new("unexpected", format!("call {}: {error:?}", job.call.id))),
        },
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
