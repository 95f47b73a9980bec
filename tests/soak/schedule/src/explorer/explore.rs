//! Has scenarios executed, in as many orders as asked for, and tells the order in which one goes wrong.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::Failed;
use super::place::{COMMITS, REBASES, RERUNS};
use super::recorder::{Choices, Recorder, Steps};
use super::scenarios::{Scenario, named};

/// So many executions are given to one scheduler. PCT learns from the first how many steps there are.
const BATCH: u64 = 250;
/// Everybody has finished after so many steps, however badly they are scheduled.
const STEPS: usize = 20_000;
/// How many threads PCT takes the turn from, at most.
const DEPTH: usize = 3;
/// How often each scenario is tried to be repeated.
const REPEATED: usize = 50;
/// Bodies, and the decoding of what they read, need more than shuttle's 60 KiB.
const STACK_BYTES: usize = 256 << 10;

thread_local! {
    /// What the first panic of the execution said.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    executions: u64,
    steps: Steps,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (commits, reruns, rebases) = (count(&COMMITS), count(&RERUNS), count(&REBASES));
        write!(f, "executions={} steps={} longest={} ", self.executions, self.steps.all, self.steps.most)?;
        write!(f, "acknowledged={commits} conflicts={reruns} rebases={rebases}")
    }
}

/// An execution in which something is not as it must be.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    scenario: &'static str,
    said: String,
    choices: Choices,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shuttle's words for those who wait for ever, and for those who go on for ever.
        let is_stuck = ["deadlock!", "exceeded max_steps"].iter().any(|words| self.said.starts_with(words));
        let Self { scenario, said, choices } = self;
        write!(f, "{} {scenario}:{choices} {said}", if is_stuck { "stuck" } else { "wrong" })
    }
}

/// Executes the scenarios, a batch of each in turn, on all processors.
pub(crate) fn explore(scenarios: &[Scenario], executions: u64, seed: u64) -> Result<Figures, Wrong> {
    tell_panics();
    let mut random = fastrand::Rng::with_seed(seed);
    let kinds: Vec<_> =
        scenarios.iter().flat_map(|scenario| [Order::Random, Order::Pct].map(|order| (*scenario, order))).collect();
    // Beginning anywhere, so that none is left out for good if there are not enough executions for all.
    let kinds = kinds.iter().copied().cycle().skip(random.usize(..kinds.len()));
    let plan = (0..executions).step_by(BATCH as usize).zip(kinds).map(|(start, (scenario, order))| {
        let executions = BATCH.min(executions - start);
        Batch { scenario, order, seed: random.u64(..), executions }
    });
    let (plan, is_wrong, steps) = (Mutex::new(plan), AtomicBool::new(false), Mutex::new(Steps::default()));
    let next = || lock(&plan).next().filter(|_| !is_wrong.load(Ordering::Relaxed));
    let work = || -> Result<(), Wrong> {
        while let Some(batch) = next() {
            let taken = batch.execute().inspect_err(|_| is_wrong.store(true, Ordering::Relaxed))?;
            lock(&steps).add(taken);
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("panics of scenarios are caught"))
    })?;
    let steps = *lock(&steps);
    Ok(Figures { executions, steps })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one scheduler executes.
#[derive(Clone, Copy, Debug)]
struct Batch {
    scenario: Scenario,
    order: Order,
    seed: u64,
    executions: u64,
}

/// How the next thread is chosen.
#[derive(Clone, Copy, Debug)]
enum Order {
    Random,
    Pct,
}

impl Batch {
    fn execute(self) -> Result<Steps, Wrong> {
        let Self { scenario, order, seed, executions } = self;
        match order {
            Order::Random => execute(scenario, RandomScheduler::new_from_seed(seed, executions as usize)),
            Order::Pct => execute(scenario, PctScheduler::new_from_seed(seed, DEPTH, executions as usize)),
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    // Others would take the panic of the one who has failed for their own.
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

fn execute(scenario: Scenario, scheduler: impl Scheduler + 'static) -> Result<Steps, Wrong> {
    let recorder = Recorder::new(scheduler);
    let (choices, steps) = (recorder.choices(), recorder.steps());
    PANIC.set(None);
    match catch_unwind(AssertUnwindSafe(|| Runner::new(recorder, config()).run(scenario.run))) {
        Ok(_) => Ok(*steps.borrow()),
        Err(_) => {
            let said = PANIC.take().unwrap_or_default();
            Err(Wrong { scenario: scenario.name, said, choices: choices.borrow().clone() })
        }
    }
}

/// Keeps what panics say, for whoever reports the failure.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or("a panic").to_owned();
        PANIC.with_borrow_mut(|first| first.get_or_insert(said).truncate(2000));
    }));
}

/// That the same choices lead to the same execution: otherwise no failure could be repeated.
pub(crate) fn check_repeats(scenarios: &[Scenario]) -> Result<Figures, Wrong> {
    tell_panics();
    let mut figures = Figures::default();
    for scenario in scenarios {
        let random = RandomScheduler::new_from_seed(0, REPEATED);
        figures.steps.add(execute(*scenario, UncontrolledNondeterminismCheckScheduler::new(random))?);
        figures.executions += 2 * REPEATED as u64;
    }
    Ok(figures)
}

/// Executes a scenario once, as it was executed before.
pub(crate) fn replay(execution: &str) -> Result<Figures, Failed> {
    tell_panics();
    let found = execution.split_once(':').and_then(|(name, choices)| Some((*named(Some(name)).first()?, choices)));
    let (scenario, choices) =
        found.ok_or_else(|| Failed::Asked("an execution is a scenario, a colon and a schedule".to_owned()))?;
    let choices: Choices = choices.parse().map_err(Failed::Asked)?;
    let steps = execute(scenario, ReplayScheduler::new_from_schedule(choices.schedule()))?;
    Ok(Figures { executions: 1, steps })
}
