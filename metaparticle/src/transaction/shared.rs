//! A future that several wait for, whoever of them gives up.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{AtomicBool, Mutex, OnceLock, Ordering, wake_all};

/// How often it is run for others before whoever runs it looks after its own affairs again.
const RUNS: u32 = 100;

/// One future for all who wait for it. They are who runs it: each whenever it is woken, so that nobody relies on another one who may
/// give up, or whose executor lets it lie. Nobody waits for a lock while it is run: that may take a while, and what runs in it may
/// wait for the same.
///
/// (The one of `futures-util` relies on those who wait: what happens while one runs it is told to those only who had waited before.)
pub(super) struct SharedFuture<T> {
    state: Mutex<State<T>>,
    output: OnceLock<T>,
    has_panicked: AtomicBool,
    waiting: Arc<Waiting>,
}

struct State<T> {
    /// Not there while somebody runs it, nor when it has ended or panicked.
    future: Option<Running<T>>,
    /// Whether somebody came while it was run. Whoever runs it runs it once more then: what has happened meanwhile may have woken
    /// those only who were there before.
    is_wanted: bool,
}

type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Clone> SharedFuture<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        let state = State { future: Some(Box::pin(future)), is_wanted: false };
        let has_panicked = AtomicBool::new(false);
        Self { state: Mutex::new(state), output: OnceLock::new(), has_panicked, waiting: Arc::default() }
    }

    /// What has come of it, if it has ended.
    pub(super) fn peek(&self) -> Option<&T> {
        self.output.get()
    }

    /// Whether nothing will ever come of it.
    pub(super) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Acquire)
    }

    /// Runs it, together with all others who wait. A panic in it goes on with whoever runs it; the others have nothing.
    pub(super) async fn wait(&self) -> Option<T> {
        let waiter = Waiter { number: self.waiting.next(), waiting: &self.waiting };
        poll_fn(|context| self.poll(&waiter, context)).await
    }

    fn poll(&self, waiter: &Waiter<'_>, context: &Context<'_>) -> Poll<Option<T>> {
        // First: what happens from here on wakes this waiter.
        waiter.sleeps(context.waker());
        let Some(mut future) = self.begin() else {
            let output = self.output.get().cloned();
            return if output.is_some() || self.has_panicked() { Poll::Ready(output) } else { Poll::Pending };
        };
        let waker = Waker::from(self.waiting.clone());
        for _ in 0..RUNS {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker)))) {
                Ok(Poll::Ready(output)) => {
                    let _ = self.output.set(output.clone());
                    waker.wake();
                    return Poll::Ready(Some(output));
                }
                Ok(Poll::Pending) => {
                    let mut state = self.state.lock();
                    if !std::mem::take(&mut state.is_wanted) {
                        state.future = Some(future);
                        return Poll::Pending;
                    }
                }
                Err(panic) => {
                    self.has_panicked.store(true, Ordering::Release);
                    waker.wake();
                    resume_unwind(panic);
                }
            }
        }
        // It wakes who waits again and again, and nothing comes of it as long as they run it.
        self.state.lock().future = Some(future);
        waker.wake();
        Poll::Pending
    }

    /// The future, to be run, unless somebody does.
    fn begin(&self) -> Option<Running<T>> {
        let mut state = self.state.lock();
        state.is_wanted = state.future.is_none();
        state.future.take()
    }
}

/// Those who wait, by their numbers: who came first is woken first.
#[derive(Default)]
struct Waiting(Mutex<(u64, BTreeMap<u64, Waker>)>);

impl Waiting {
    fn next(&self) -> u64 {
        let mut waiting = self.0.lock();
        waiting.0 += 1;
        waiting.0
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let woken = std::mem::take(&mut self.0.lock().1);
        wake_all(woken.into_values());
    }
}

/// Somebody who waits until dropped.
struct Waiter<'a> {
    number: u64,
    waiting: &'a Waiting,
}

impl Waiter<'_> {
    fn sleeps(&self, waker: &Waker) {
        // Wakers are code of the user's: they are cloned and dropped without the lock.
        let waker = waker.clone();
        let before = self.waiting.0.lock().1.insert(self.number, waker);
        drop(before);
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let waker = self.waiting.0.lock().1.remove(&self.number);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; whether that was woken since.
    fn poll<T, F: Future<Output = T>>(future: Pin<&mut F>) -> (Poll<T>, impl Fn() -> bool + use<T, F>) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        (future.poll(&mut Context::from_waker(&waker)), move || count.0.load(Ordering::SeqCst) > 0)
    }

    /// A future that ends when it is told to, and what tells it.
    fn told() -> (SharedFuture<u32>, impl Fn(u32)) {
        let state = Arc::new(Mutex::new((None, None::<Waker>)));
        let told = state.clone();
        let future = poll_fn(move |context| {
            let mut state = state.lock();
            state.1 = Some(context.waker().clone());
            state.0.map_or(Poll::Pending, Poll::Ready)
        });
        let tell = move |output| {
            let waker = {
                let mut told = told.lock();
                told.0 = Some(output);
                told.1.take()
            };
            wake_all(waker);
        };
        (SharedFuture::new(future), tell)
    }

    #[test]
    fn all_who_wait_are_woken_and_have_the_same_output() {
        let (shared, tell) = told();
        let (mut one, mut two) = (pin!(shared.wait()), pin!(shared.wait()));
        let ((first, one_is_woken), (second, two_is_woken)) = (poll(one.as_mut()), poll(two.as_mut()));
        assert!(first.is_pending() && second.is_pending() && shared.peek().is_none());
        tell(7);
        assert!(one_is_woken() && two_is_woken());
        assert_eq!((poll(two).0, poll(one).0, shared.peek()), (Poll::Ready(Some(7)), Poll::Ready(Some(7)), Some(&7)));
    }

    #[test]
    fn whoever_waits_goes_on_when_the_one_who_was_woken_with_it_gives_up() {
        let (shared, tell) = told();
        let (mut stays, mut gives_up) = (pin!(shared.wait()), Box::pin(shared.wait()));
        let (polled, is_woken) = poll(stays.as_mut());
        assert!(polled.is_pending() && poll(gives_up.as_mut()).0.is_pending());
        tell(7);
        drop(gives_up);
        assert!(is_woken(), "it sleeps on");
        assert_eq!(poll(stays).0, Poll::Ready(Some(7)));
    }

    #[test]
    fn whoever_gives_up_is_forgotten() {
        let (shared, _) = told();
        assert!(poll(pin!(shared.wait())).0.is_pending());
        assert_eq!(shared.waiting.0.lock().1.len(), 0);
    }

    /// What becomes of a future while it is run first, and somebody else comes.
    #[derive(Clone, Copy, PartialEq)]
    enum Meanwhile {
        /// What it waits for happens, which tells those who were there before.
        Happens,
        /// It happens when the first one has given up.
        HappensLater,
        Ends,
    }

    fn comes_while_another_runs_it(meanwhile: Meanwhile) -> Poll<Option<u32>> {
        let shared: Arc<OnceLock<SharedFuture<u32>>> = Arc::default();
        let (another, other) = (shared.clone(), Arc::new(Mutex::new(None)));
        let (came, told) = (other.clone(), Arc::new(Mutex::new(None::<Waker>)));
        let (mut runs, tells) = (0, told.clone());
        let future = SharedFuture::new(poll_fn(move |context| {
            runs += 1;
            *tells.lock() = Some(context.waker().clone());
            if runs > 1 {
                assert!(meanwhile != Meanwhile::Ends, "it has ended");
                let has_happened = meanwhile == Meanwhile::Happens || runs > 2;
                return if has_happened { Poll::Ready(7) } else { Poll::Pending };
            }
            if meanwhile == Meanwhile::Happens {
                context.waker().wake_by_ref();
            }
            let (another, count) = (another.clone(), Arc::new(Count::default()));
            let waker = Waker::from(count.clone());
            let mut comes = Box::pin(async move { another.get().expect("it is there").wait().await });
            assert!(comes.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            *came.lock() = Some((comes, count));
            if meanwhile == Meanwhile::Ends { Poll::Ready(7) } else { Poll::Pending }
        }));
        let _ = shared.set(future);
        let shared = shared.get().expect("it is there");
        let first = poll(pin!(shared.wait())).0;
        assert_eq!(first.is_pending(), meanwhile == Meanwhile::HappensLater);
        if first.is_pending() {
            wake_all(told.lock().take());
        }
        let (mut other, count) = other.lock().take().expect("somebody else came");
        assert!(count.0.load(Ordering::SeqCst) > 0, "it sleeps on");
        poll(other.as_mut()).0
    }

    #[test]
    fn what_happens_while_one_runs_the_future_wakes_who_came_meanwhile() {
        assert_eq!(comes_while_another_runs_it(Meanwhile::Happens), Poll::Ready(Some(7)));
        assert_eq!(comes_while_another_runs_it(Meanwhile::HappensLater), Poll::Ready(Some(7)));
    }

    #[test]
    fn whoever_came_while_the_future_ended_has_its_output() {
        assert_eq!(comes_while_another_runs_it(Meanwhile::Ends), Poll::Ready(Some(7)));
    }

    #[test]
    fn a_future_that_wakes_those_who_wait_again_and_again_keeps_none_of_them() {
        let shared: Arc<OnceLock<SharedFuture<u32>>> = Arc::default();
        let another = shared.clone();
        let future = SharedFuture::new(poll_fn(move |_| {
            let again = another.get().expect("it is there").wait();
            assert!(poll(pin!(again)).0.is_pending());
            Poll::Pending
        }));
        let _ = shared.set(future);
        let (polled, is_woken) = poll(pin!(shared.get().expect("it is there").wait()));
        assert!(polled.is_pending() && is_woken(), "it is not to be run any more");
    }

    #[test]
    fn a_panic_goes_on_with_one_and_ends_all_who_wait() {
        let mut is_first = true;
        let shared: SharedFuture<u32> = SharedFuture::new(poll_fn(move |_| {
            assert!(std::mem::take(&mut is_first), "planned");
            Poll::Pending
        }));
        let (mut one, two) = (pin!(shared.wait()), pin!(shared.wait()));
        let (polled, is_woken) = poll(one.as_mut());
        assert!(polled.is_pending());
        assert!(!shared.has_panicked());
        assert!(catch_unwind(AssertUnwindSafe(|| poll(two).0)).is_err());
        assert!(shared.has_panicked());
        assert!(is_woken(), "it sleeps on");
        assert_eq!(poll(one).0, Poll::Ready(None));
    }
}
