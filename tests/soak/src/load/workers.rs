//! Those who work: threads and tasks, many more than there are processors, each watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metaparticle::{ErrorKind, Store};
use tokio::runtime::Runtime;

use super::shapes::{Job, Shape, Tally, Trouble};
use crate::campaign::{Failure, Result};

/// How long a transaction may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);
/// So much later at the latest, it must have ended.
const GRACE: Duration = Duration::from_secs(10);
/// Whoever waits for a turn goes on without it after a tenth of the timeout: so longer calls tell of a turn that did not come.
const STALLED: Duration = TIMEOUT.checked_div(10).expect("not by zero");

/// What everybody shares.
#[derive(Debug)]
pub(super) struct Hall {
    start: Instant,
    is_over: AtomicBool,
    pub(super) tally: Tally,
    pub(super) workers: Vec<Worker>,
    items: u64,
    /// How many are at work.
    working: Mutex<usize>,
    changed: Condvar,
    failure: Mutex<Option<Failure>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Worker {
    shape: Shape,
    number: usize,
    is_task: bool,
    /// When its call has begun, in milliseconds since the start, plus one; zero between two calls.
    began: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) attempts: AtomicU64,
    /// Of one call.
    pub(super) most_attempts: AtomicU64,
    pub(super) longest: AtomicU64,
}

impl Hall {
    /// Has so many threads, and so many tasks, work on each shape, where there are so many items.
    pub(super) fn open(shapes: &[Shape], [threads, tasks]: [usize; 2], items: u64) -> Arc<Self> {
        let numbers = || (0..threads).map(|number| (number, false)).chain((0..tasks).map(|number| (number, true)));
        let worker = |shape, (number, is_task)| Worker {
            shape,
            number,
            is_task,
            began: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            most_attempts: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        };
        let workers: Vec<_> = shapes.iter().flat_map(|shape| numbers().map(move |number| worker(*shape, number))).collect();
        Arc::new(Self {
            start: Instant::now(),
            is_over: AtomicBool::new(false),
            tally: Tally::default(),
            items,
            working: Mutex::new(workers.len()),
            workers,
            changed: Condvar::new(),
            failure: Mutex::default(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>, store: &Store, runtime: &Runtime, random: &mut fastrand::Rng) -> Result<()> {
        for (index, worker) in self.workers.iter().enumerate() {
            let (hall, store, random) = (self.clone(), store.clone(), random.fork());
            if worker.is_task {
                runtime.spawn(async move { hall.work_in_task(index, store, random).await });
            } else {
                std::thread::Builder::new().spawn(move || hall.work_on_thread(index, &store, random))?;
            }
        }
        Ok(())
    }

    fn work_on_thread(&self, index: usize, store: &Store, mut random: fastrand::Rng) {
        let _at_work = AtWork(self);
        let worker = &self.workers[index];
        while !self.is_over.load(Ordering::Relaxed) {
            let job = Job::random(worker.shape, worker.number, self.items, false, &mut random);
            let call = Call::begin(self, worker);
            call.end(job, store.transaction(|tx| job.carry_out(tx)));
        }
    }

    async fn work_in_task(&self, index: usize, store: Store, mut random: fastrand::Rng) {
        let _at_work = AtWork(self);
        let worker = &self.workers[index];
        while !self.is_over.load(Ordering::Relaxed) {
            let goes_after = (random.u8(..16) == 0).then(|| Duration::from_micros(random.u64(..5000)));
            let job = Job::random(worker.shape, worker.number, self.items, goes_after.is_some(), &mut random);
            let call = Call::begin(self, worker);
            let future = store.transaction_async(|tx| job.carry_out(tx));
            match goes_after {
                Some(patience) if matches!(job, Job::Count { .. }) => match tokio::time::timeout(patience, future).await {
                    Ok(result) => call.end(job, result),
                    Err(_) => self.tally.unknown(job),
                },
                _ => call.end(job, future.await),
            }
            // A transaction need not wait for anything, and others want to work too.
            tokio::task::yield_now().await;
        }
    }

    /// An error, if something is wrong by now. The disk has taken so long at the most, which nobody can help.
    pub(super) fn watch(&self, disk: Duration) -> Result<()> {
        if let Some(failure) = lock(&self.failure).clone() {
            return Err(failure);
        }
        let now = self.start.elapsed();
        for worker in &self.workers {
            let began = worker.began.load(Ordering::Relaxed);
            let since = now.saturating_sub(Duration::from_millis(began));
            if began > 0 && since > TIMEOUT + GRACE {
                return Err(Failure::new("stuck", format!("{} has not come back for {since:?}", worker.name())));
            }
            let longest = Duration::from_millis(worker.longest.load(Ordering::Relaxed));
            // Whoever reads very much may have to begin anew more than once, before and after its turn.
            if longest > STALLED + disk && worker.shape != Shape::Huge {
                let what = format!("a call of {} took {longest:?}, and the disk {disk:?} at the most", worker.name());
                return Err(Failure::new("stalled", what));
            }
        }
        Ok(())
    }

    /// Waits until everybody has ended what they have begun.
    pub(super) fn close(&self, disk: Duration) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        let waited = self.changed.wait_timeout_while(lock(&self.working), TIMEOUT + GRACE, |working| *working > 0);
        let working = *waited.unwrap_or_else(PoisonError::into_inner).0;
        self.watch(disk)?;
        if working > 0 {
            return Err(Failure::new("stuck", format!("{working} have not come back")));
        }
        match self.workers.iter().find(|worker| worker.commits.load(Ordering::Relaxed) == 0) {
            Some(worker) => Err(Failure::new("starved", format!("{} has committed nothing", worker.name()))),
            None => Ok(()),
        }
    }

    pub(super) fn sum(&self, shape: Shape, number: impl Fn(&Worker) -> &AtomicU64) -> u64 {
        self.of(shape).map(|worker| number(worker).load(Ordering::Relaxed)).sum()
    }

    pub(super) fn most(&self, shape: Shape, number: impl Fn(&Worker) -> &AtomicU64) -> u64 {
        self.of(shape).map(|worker| number(worker).load(Ordering::Relaxed)).max().unwrap_or_default()
    }

    fn of(&self, shape: Shape) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(move |worker| worker.shape == shape)
    }

    fn fail(&self, failure: Failure) {
        lock(&self.failure).get_or_insert(failure);
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    fn name(&self) -> String {
        let kind = if self.is_task { "task" } else { "thread" };
        format!("{kind} {} of {:?}", self.number, self.shape)
    }
}

/// Somebody is at work until this is dropped, also by a panic.
struct AtWork<'a>(&'a Hall);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Failure::new("panicked", "a worker has panicked"));
        }
        *lock(&self.0.working) -= 1;
        self.0.changed.notify_all();
    }
}

/// A call that somebody waits for.
struct Call<'a> {
    hall: &'a Hall,
    worker: &'a Worker,
    began: Instant,
}

impl<'a> Call<'a> {
    fn begin(hall: &'a Hall, worker: &'a Worker) -> Self {
        worker.began.store(hall.start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        Self { hall, worker, began: Instant::now() }
    }

    fn end(&self, job: Job, result: Result<u32, Trouble>) {
        let Self { hall, worker, began } = self;
        let took = began.elapsed();
        worker.longest.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
        match result {
            Ok(attempts) => {
                hall.tally.done(job);
                worker.commits.fetch_add(1, Ordering::Relaxed);
                worker.attempts.fetch_add(attempts.into(), Ordering::Relaxed);
                worker.most_attempts.fetch_max(attempts.into(), Ordering::Relaxed);
            }
            Err(Trouble::Torn(sum)) => {
                hall.fail(Failure::new("torn", format!("{} has seen the sum {sum}, and it always was 0", worker.name())));
            }
            Err(Trouble::Store(error)) => {
                hall.tally.unknown(job);
                let figure = match error.kind() {
                    ErrorKind::Conflict | ErrorKind::Timeout => "starved",
                    _ => "unexpected",
                };
                hall.fail(Failure::new(figure, format!("{} after {took:?}: {error:?}", worker.name())));
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.worker.began.store(0, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
