//! What the executions are of.

mod closing;
mod disks;
mod keys;
mod limits;
mod nesting;
mod reads;
mod updates;
mod waits;

use shuttle::thread;

/// A few threads and a store, and what must be true of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// What would be wrong.
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// The scenarios of some modules, by their names.
macro_rules! scenarios {
    ($($module:ident: $($name:ident)*;)*) => {
        &[$($(Scenario { name: stringify!($name), run: $module::$name }),*),*]
    };
}

const SCENARIOS: &[Scenario] = scenarios! {
    updates: lost_update lost_field write_skew;
    reads: torn_read stale_read broken_snapshot;
    keys: phantom returning_key first_use;
    nesting: half_undone trace_of_a_rollback;
    waits: lost_wake_up lost_hint lost_turn lost_last_turn lost_group lost_guess;
    disks: early_acknowledgement lost_commit broken_disk full_queue;
    closing: lost_at_closing lost_at_exit;
    limits: untrue_error trace_of_a_dropped_future;
};

/// The one with this name, or all.
pub(crate) fn named(name: Option<&str>) -> Vec<Scenario> {
    SCENARIOS.iter().filter(|scenario| name.is_none_or(|name| scenario.name == name)).copied().collect()
}

pub(crate) fn names() -> Vec<&'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).collect()
}

/// What a thread does.
type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// Has each of these done by a thread of its own; what each of them gave.
fn together<T: Send + 'static>(jobs: impl IntoIterator<Item = Job<T>>) -> Vec<T> {
    let threads: Vec<_> = jobs.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}
