//! A thread that has sled asked once more when an answer takes long.
//!
//! Where a write of sled's own fails, it may tell nobody who waits already. Whoever asks later is told, and that wakes the others.

use std::io;
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};
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
    /// Starts the thread, which will have `ask` called by others: it may wait for an answer as well.
    pub(super) fn start(ask: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let inner = Arc::<Inner>::default();
        let run = {
            let inner = inner.clone();
            move || inner.run(&ask)
        };
        let thread = Builder::new().name("metaparticle-prompter".to_owned()).spawn(run)?;
        Ok(Self { inner, thread: Some(thread) })
    }

    /// Waits for an answer of sled's.
    pub(super) fn wait<T>(&self, answer: impl FnOnce() -> T) -> T {
        self.inner.wait(answer)
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
    fn wait<T>(&self, answer: impl FnOnce() -> T) -> T {
        let mut state = self.state.lock();
        state.waiting += 1;
        if std::mem::take(&mut state.is_asleep) {
            self.changed.notify_one();
        }
        drop(state);
        let answer = answer();
        let mut state = self.state.lock();
        state.waiting -= 1;
        state.answers += 1;
        if state.is_over {
            self.changed.notify_one();
        }
        answer
    }

    fn run(&self, ask: &(impl Fn() + Sync)) {
        // It ends when all that it has asked with have.
        thread::scope(|scope| {
            let mut patience = PATIENCE;
            let mut state = self.state.lock();
            loop {
                if state.waiting == 0 {
                    if state.is_over {
                        return;
                    }
                    state.is_asleep = true;
                    self.changed.wait(&mut state);
                    patience = PATIENCE;
                    continue;
                }
                let answers = state.answers;
                let is_late = self.changed.wait_for(&mut state, patience).timed_out();
                if state.answers != answers {
                    patience = PATIENCE;
                } else if is_late && state.waiting > 0 {
                    // Whoever asks may be told nothing either, if what fails has not failed yet. Without a thread, it is asked later.
                    let _ = Builder::new().spawn_scoped(scope, || self.wait(ask));
                    patience *= 2;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn whoever_is_told_nothing_is_told_when_somebody_else_asks() {
        let (tell, told) = mpsc::channel();
        let prompter = Prompter::start(move || tell.send(7).expect("it waits")).expect("starts");
        assert_eq!(prompter.wait(|| 1), 1);
        // Nobody else would tell it.
        for _ in 0..2 {
            assert_eq!(prompter.wait(|| told.recv_timeout(LONG)), Ok(7));
        }
    }

    #[test]
    fn sled_is_asked_again_where_the_second_one_is_told_nothing_as_well() {
        let (tell, told) = mpsc::channel();
        let (tell_second, second_told) = mpsc::channel();
        let (asked, second_told) = (AtomicUsize::new(0), Mutex::new(second_told));
        let ask = move || match asked.fetch_add(1, Ordering::SeqCst) {
            0 => assert_eq!(second_told.lock().recv_timeout(LONG), Ok(())),
            _ => {
                tell_second.send(()).expect("it waits");
                tell.send(7).expect("it waits");
            }
        };
        let prompter = Prompter::start(ask).expect("starts");
        assert_eq!(prompter.wait(|| told.recv_timeout(LONG)), Ok(7));
    }
}
