//! An engine in memory that never answers at once, counts what it is asked, and can be made to hold its answers back.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use metaparticle::engine::{Answer, Engine, KeyRange, Limits, Page, Reply, Request, Seen, Stamp};
use metaparticle::{Error, ErrorKind, Result, Store, conformance};

#[derive(Clone)]
pub(crate) struct Later {
    memory: Arc<dyn Engine>,
    calls: Arc<Calls>,
}

/// What the engine was asked, and what holds its answers back.
#[derive(Default)]
pub(crate) struct Calls {
    reads: AtomicU64,
    commits: AtomicU64,
    hold: Mutex<Hold>,
    before_commit: Mutex<Option<Hook>>,
    after_commit: Mutex<Option<Hook>>,
    when_woken: Mutex<Option<Hook>>,
    /// What becomes of the next read that is carried out.
    next_read: Mutex<Option<Held>>,
    before_read: Mutex<Option<(Vec<u8>, Hook)>>,
    /// What is called before a scan, and how many scans come before that one.
    before_scan: Mutex<Option<(u32, Hook)>>,
    before_watch: Mutex<Option<Hook>>,
    /// A part of the keys whose records cannot be read.
    damaged: Mutex<Option<Vec<u8>>>,
    watches: AtomicU64,
    /// Whether only commits are answered later.
    reads_at_once: AtomicBool,
    /// What was waited for to be durable, at most.
    waited_for: AtomicU64,
    /// Whether what was committed cannot be made durable.
    never_durable: AtomicBool,
}

/// A read that is not answered when it is carried out.
enum Held {
    ToBe,
    Is(Option<Waker>),
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Hold {
    all: bool,
    commits: bool,
    /// How many answers may be given although they are held.
    released: u64,
    waiting: Vec<Waker>,
}

impl Later {
    pub(crate) fn store() -> (Store, Arc<Calls>) {
        let (store, _, calls) = Self::two_stores();
        (store, calls)
    }

    /// Two stores on the same records, as two processes have them.
    pub(crate) fn two_stores() -> (Store, Store, Arc<Calls>) {
        let (one, other, calls, _) = Self::with_engine();
        (one, other, calls)
    }

    /// And what they are on, for further ones.
    pub(crate) fn with_engine() -> (Store, Store, Arc<Calls>, Self) {
        let calls = Arc::new(Calls::default());
        let engine = Self { memory: conformance::memory_engine().into(), calls: calls.clone() };
        (Store::with_engine(engine.clone()), Store::with_engine(engine.clone()), calls, engine)
    }

    /// A store whose engine answers only when it is released.
    pub(crate) fn held_store() -> (Store, Arc<Calls>) {
        let (store, calls) = Self::store();
        calls.hold.lock().expect("no panic").all = true;
        (store, calls)
    }

    /// Answers after the next poll at the earliest.
    fn later<'a, T: Send + 'a>(&'a self, is_commit: bool, answer: impl FnOnce() -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        let calls = &self.calls;
        if !is_commit && calls.reads_at_once.load(Ordering::SeqCst) {
            return answer();
        }
        let later = Box::pin(async move {
            let mut polled = false;
            poll_fn(|context| {
                if std::mem::replace(&mut polled, true) {
                    return calls.may_answer(is_commit, context.waker());
                }
                context.waker().wake_by_ref();
                let hook = calls.when_woken.lock().expect("no panic").take_if(|_| is_commit);
                if let Some(hook) = hook {
                    hook();
                }
                Poll::Pending
            })
            .await;
            let answer = now(answer());
            if !is_commit {
                calls.held().await;
            }
            answer
        });
        if is_commit { Answer::Committing(later) } else { Answer::Later(later) }
    }
}

/// Whether a record is read whose key contains `part`.
fn reads(request: &Request<'_>, part: &[u8]) -> bool {
    request.read.iter().any(|key| key.windows(part.len()).any(|window| window == part))
}

fn now<T>(answer: Answer<'_, T>) -> Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(_) | Answer::Committing(_) => panic!("memory answers at once"),
    }
}

impl Calls {
    fn may_answer(&self, is_commit: bool, waker: &Waker) -> Poll<()> {
        let mut hold = self.hold.lock().expect("no panic");
        if !(hold.all || hold.commits && is_commit) {
            return Poll::Ready(());
        }
        if hold.released > 0 {
            hold.released -= 1;
            return Poll::Ready(());
        }
        hold.waiting.push(waker.clone());
        Poll::Pending
    }

    pub(crate) fn release(&self) {
        let mut hold = self.hold.lock().expect("no panic");
        hold.released = 1;
        hold.waiting.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn release_all(&self) {
        let mut hold = self.hold.lock().expect("no panic");
        (hold.all, hold.commits) = (false, false);
        hold.waiting.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn hold_commits(&self) {
        self.hold.lock().expect("no panic").commits = true;
    }

    pub(crate) fn before_commit(&self, f: impl FnOnce() + Send + 'static) {
        *self.before_commit.lock().expect("no panic") = Some(Box::new(f));
    }

    /// Calls `f` when the next commit has been carried out, before that is answered.
    pub(crate) fn after_commit(&self, f: impl FnOnce() + Send + 'static) {
        *self.after_commit.lock().expect("no panic") = Some(Box::new(f));
    }

    /// Calls `f` when the next commit is polled first, once it has woken whoever polls it.
    pub(crate) fn when_woken(&self, f: impl FnOnce() + Send + 'static) {
        *self.when_woken.lock().expect("no panic") = Some(Box::new(f));
    }

    /// Holds the answer to the next read back once that is carried out.
    pub(crate) fn hold_next_read(&self) {
        *self.next_read.lock().expect("no panic") = Some(Held::ToBe);
    }

    pub(crate) fn holds_a_read(&self) -> bool {
        matches!(*self.next_read.lock().expect("no panic"), Some(Held::Is(_)))
    }

    pub(crate) fn give_the_read(&self) {
        if let Some(Held::Is(Some(waker))) = self.next_read.lock().expect("no panic").take() {
            waker.wake();
        }
    }

    /// Returns at once, unless this is the read that is held.
    async fn held(&self) {
        let is_it = matches!(*self.next_read.lock().expect("no panic"), Some(Held::ToBe));
        if !is_it {
            return;
        }
        *self.next_read.lock().expect("no panic") = Some(Held::Is(None));
        poll_fn(|context| match &mut *self.next_read.lock().expect("no panic") {
            Some(Held::Is(waker)) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Calls `f` before a record whose key contains `key` is read.
    pub(crate) fn before_read(&self, key: &str, f: impl FnOnce() + Send + 'static) {
        *self.before_read.lock().expect("no panic") = Some((key.into(), Box::new(f)));
    }

    /// Reads are answered at once from now on.
    pub(crate) fn read_at_once(&self) {
        self.reads_at_once.store(true, Ordering::SeqCst);
    }

    /// Nothing is made durable from now on.
    pub(crate) fn lose_disk(&self) {
        self.never_durable.store(true, Ordering::SeqCst);
    }

    /// Records whose keys contain `key` cannot be read from now on.
    pub(crate) fn damage(&self, key: &str) {
        *self.damaged.lock().expect("no panic") = Some(key.into());
    }

    fn is_damaged(&self, request: &Request<'_>) -> bool {
        self.damaged.lock().expect("no panic").as_deref().is_some_and(|part| reads(request, part))
    }

    /// Calls `f` before a scan, after so many others.
    pub(crate) fn before_scan(&self, others: u32, f: impl FnOnce() + Send + 'static) {
        *self.before_scan.lock().expect("no panic") = Some((others, Box::new(f)));
    }

    /// Calls `f` when something is to be watched, before it is.
    pub(crate) fn before_watch(&self, f: impl FnOnce() + Send + 'static) {
        *self.before_watch.lock().expect("no panic") = Some(Box::new(f));
    }

    pub(crate) fn watches(&self) -> u64 {
        self.watches.load(Ordering::SeqCst)
    }

    fn scan_hook(&self) {
        let hook = self.before_scan.lock().expect("no panic").take_if(|(others, _)| {
            let is_next = *others == 0;
            *others = others.saturating_sub(1);
            is_next
        });
        if let Some((_, hook)) = hook {
            hook();
        }
    }

    fn hook(&self, request: &Request<'_>) {
        let hook = if request.write.is_empty() {
            let mut before = self.before_read.lock().expect("no panic");
            before.take_if(|(key, _)| reads(request, key)).map(|(_, hook)| hook)
        } else {
            self.before_commit.lock().expect("no panic").take()
        };
        if let Some(hook) = hook {
            hook();
        }
    }

    pub(crate) fn reset(&self) {
        self.waited_for.store(0, Ordering::SeqCst);
        self.reads.store(0, Ordering::SeqCst);
        self.commits.store(0, Ordering::SeqCst);
    }

    pub(crate) fn waited_for(&self) -> u64 {
        self.waited_for.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

impl Engine for Later {
    fn execute<'a>(&'a self, request: Request<'a>) -> Answer<'a, Reply> {
        let is_commit = !request.write.is_empty();
        self.later(is_commit, move || {
            self.calls.hook(&request);
            let counter = if is_commit { &self.calls.commits } else { &self.calls.reads };
            counter.fetch_add(1, Ordering::SeqCst);
            if self.calls.is_damaged(&request) {
                return Answer::Ready(Err(Error::engine(ErrorKind::Corrupt, "not a record")));
            }
            let answer = now(self.memory.execute(request)).map(|reply| Reply { durable_at: reply.stamp, ..reply });
            let hook = self.calls.after_commit.lock().expect("no panic").take_if(|_| is_commit);
            if let Some(hook) = hook {
                hook();
            }
            Answer::Ready(answer)
        })
    }
    fn scan<'a>(&'a self, compare: &'a Seen, range: &'a KeyRange, limit: usize) -> Answer<'a, Page> {
        self.later(false, move || {
            self.calls.scan_hook();
            self.calls.reads.fetch_add(1, Ordering::SeqCst);
            self.memory.scan(compare, range, limit)
        })
    }
    fn watch<'a>(&'a self, compare: &'a Seen) -> Answer<'a, ()> {
        let hook = self.calls.before_watch.lock().expect("no panic").take();
        if let Some(hook) = hook {
            hook();
        }
        self.calls.watches.fetch_add(1, Ordering::SeqCst);
        self.memory.watch(compare)
    }
    fn durable(&self, stamp: Stamp) -> Answer<'_, ()> {
        self.calls.waited_for.fetch_max(stamp.0, Ordering::SeqCst);
        if self.calls.never_durable.load(Ordering::SeqCst) {
            return Answer::Ready(Err(Error::engine(ErrorKind::Engine, "the disk is gone")));
        }
        self.memory.durable(stamp)
    }
    fn limits(&self) -> Limits {
        let mut limits = self.memory.limits();
        limits.record_bytes = 1 << 16;
        limits
    }
}

/// Polls a future once.
pub(crate) fn poll_once<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()))
}
