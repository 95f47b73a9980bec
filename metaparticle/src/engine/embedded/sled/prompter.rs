//! A thread that asks sled once more when an answer takes long.
//!
//! Where a write of sled's own fails, it may tell nobody who waits already. Whoever asks later is told, and that wakes the others.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// After so long without an answer, sled is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    /// How many are waiting for an answer.
    waiting: usize,
    /// How many answers there were.
    answers: u64,
    /// Whether the thread sleeps until somebody waits.
    is_asleep: bool,
    is_over: bool,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

/// Ends the thread when dropped.
pub(super) struct Prompter {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl Prompter {
    /// Starts the thread, which will call `ask`.
    pub(super) fn start(ask: impl Fn() + Send + 'static) -> io::Result<Self> {
        let inner = Arc::<Inner>::default();
        let run = {
            let inner = inner.clone();
            move || inner.run(ask)
        };
        let thread = Builder::new().name("metaparticle-prompter".to_owned()).spawn(run)?;
        Ok(Self { inner, thread: Some(thread) })
    }

    /// Waits for an answer of sled's.
    pub(super) fn wait<T>(&self, answer: impl FnOnce() -> T) -> T {
        let mut state = self.inner.state.lock();
        state.waiting += 1;
        if std::mem::take(&mut state.is_asleep) {
            self.inner.changed.notify_one();
        }
        drop(state);
        let answer = answer();
        let mut state = self.inner.state.lock();
        state.waiting -= 1;
        state.answers += 1;
        answer
    }
}

impl Drop for Prompter {
    fn drop(&mut self) {
        self.inner.state.lock().is_over = true;
        self.inner.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn run(&self, ask: impl Fn()) {
        let mut state = self.state.lock();
        while !state.is_over {
            if state.waiting == 0 {
                state.is_asleep = true;
                self.changed.wait(&mut state);
                continue;
            }
            let answers = state.answers;
            let is_late = self.changed.wait_for(&mut state, PATIENCE).timed_out();
            if is_late && state.waiting > 0 && state.answers == answers {
                drop(state);
                ask();
                state = self.state.lock();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whoever_is_told_nothing_is_told_when_somebody_else_asks() {
        let (tell, told) = mpsc::channel();
        let prompter = Prompter::start(move || tell.send(7).expect("it waits")).expect("starts");
        assert_eq!(prompter.wait(|| 1), 1);
        // Nobody else would tell it.
        for _ in 0..2 {
            assert_eq!(prompter.wait(|| told.recv_timeout(Duration::from_secs(60))), Ok(7));
        }
    }
}
