//! Threads that do one operation over and over, and what that takes.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Result;
use crate::usage::usage;

/// No transaction of a store takes longer, unless that is set.
const DEADLINE: Duration = Duration::from_secs(10);

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// How the threads work.
#[derive(Clone, Copy)]
pub(crate) struct Workers {
    pub(crate) threads: usize,
    pub(crate) length: Duration,
    /// Looking at the clock takes time too, which matters for the fastest operations.
    pub(crate) with_latencies: bool,
}

/// What they have done.
pub(crate) struct Work {
    pub(crate) done: u64,
    /// By each thread, in the order of their numbers.
    pub(crate) each: Vec<u64>,
    pub(crate) retries: u64,
    /// Until the last operation has returned.
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
    /// In nanoseconds.
    pub(crate) latencies: Option<Histogram<u64>>,
}

impl Work {
    fn new(with_latencies: bool) -> Result<Self> {
        let latencies = if with_latencies { Some(Histogram::new_with_max(DEADLINE.as_nanos() as u64, DIGITS)?) } else { None };
        Ok(Self { done: 0, each: Vec::new(), retries: 0, took: Duration::ZERO, cpu: Duration::ZERO, latencies })
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.done += other.done;
        self.each.push(other.done);
        self.retries += other.retries;
        if let (Some(own), Some(others)) = (&mut self.latencies, &other.latencies) {
            own.add(others)?;
        }
        Ok(())
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }

    /// One thread's part: at least one operation, and then until it is told to stop.
    fn until(stop: &AtomicBool, with_latencies: bool, mut operation: impl FnMut() -> Result<u64>) -> Result<Self> {
        let mut own = Self::new(with_latencies)?;
        let mut last = Instant::now();
        loop {
            own.retries += operation()?;
            own.done += 1;
            if let Some(latencies) = &mut own.latencies {
                let now = Instant::now();
                latencies.saturating_record((now - last).as_nanos() as u64);
                last = now;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(own);
            }
        }
    }
}

/// What the operations of this thread choose by. With as many operations, they choose the same again.
pub(crate) fn random_of(thread: usize) -> fastrand::Rng {
    fastrand::Rng::with_seed(thread as u64)
}

/// Has the threads work; each is inside `on_thread` meanwhile. An operation tells how often it had to be tried again.
pub(crate) fn work(
    workers: Workers,
    on_thread: impl Fn(&mut dyn FnMut()) + Sync,
    operation: impl Fn(&mut fastrand::Rng) -> Result<u64> + Sync,
) -> Result<Work> {
    let Workers { threads, length, with_latencies } = workers;
    let (stop, start) = (AtomicBool::new(false), Barrier::new(threads + 1));
    let one_thread = |thread: usize| {
        let mut random = random_of(thread);
        let mut own = Work::new(with_latencies);
        on_thread(&mut || {
            start.wait();
            own = Work::until(&stop, with_latencies, || operation(&mut random));
        });
        own
    };
    let before = usage().cpu;
    let (started, parts) = thread::scope(|scope| {
        let one_thread = &one_thread;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one_thread(thread))).collect();
        start.wait();
        let started = Instant::now();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        let parts: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (started, parts)
    });
    let mut all = Work { took: started.elapsed(), cpu: usage().cpu - before, ..Work::new(with_latencies)? };
    for part in parts {
        all.add(&part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_fails_is_an_error_and_no_figure() {
        let workers = Workers { threads: 2, length: Duration::ZERO, with_latencies: false };
        let failed = work(workers, |work| work(), |_| Err("it broke".into()));
        assert_eq!(failed.map(|work| work.done).expect_err("an error").to_string(), "it broke");
    }

    #[test]
    fn every_thread_counts_and_so_does_every_latency() {
        let workers = Workers { threads: 3, length: Duration::ZERO, with_latencies: true };
        let work = work(workers, |work| work(), |_| Ok(2)).expect("works");
        assert!(work.done >= 3 && work.retries == 2 * work.done, "{} {}", work.done, work.retries);
        assert!(work.each.len() == 3 && work.each.iter().sum::<u64>() == work.done, "{:?}", work.each);
        assert_eq!(work.latencies.expect("latencies").len(), work.done);
    }
}
