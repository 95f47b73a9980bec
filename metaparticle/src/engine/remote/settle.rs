//! From a server that may not answer to an outcome that is known.
//!
//! A commit carries an id, which its server remembers in the same atomic step. If the answer is lost, the identical request is
//! sent again, marked to be *settled*: a server that finds the id answers as it did then; one that does not, either commits now
//! or, when the conditions no longer hold, remembers the id as *refused* in the step that finds this. So the id is claimed by
//! the commit or by the settlement, never by both, even if the first request is still on its way and arrives last.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::TRY;
use super::listen::{self, TellsNothing};
use crate::engine::{CommitId, Differs, KeyRange, Limits, Record, RecordKey, Request, Seen, Stamp, Version, Watchers, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::planted::{Bug, planted};
use crate::random;

/// The pauses between tries are random, up to a bound that doubles from the first of these to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// What a server is asked: to compare, then to read and, if everything is current, to write.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) compare: Seen,
    pub(crate) read: Vec<RecordKey>,
    /// In key order, so that commits of the same keys do not wait for each other in a circle.
    pub(crate) write: Vec<Write>,
    /// The beginning of a range, up to so many records.
    pub(crate) page: Option<(KeyRange, usize)>,
    pub(crate) id: CommitId,
    /// The commit may have been made already, so its id must be looked up, and claimed if the comparison fails.
    pub(crate) settle: bool,
    /// Whether the last try may have made the commit.
    open: AtomicBool,
}

impl Ask {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let mut write = request.write.to_vec();
        write.sort_by(|a, b| a.key.cmp(&b.key));
        let id = if planted(Bug::ReuseCommitId) { CommitId(request.id.0 % 256) } else { request.id };
        Self { read: request.read.to_vec(), write, id, ..Self::compare(request.compare) }
    }

    pub(super) fn page(compare: &Seen, range: &KeyRange, limit: usize) -> Self {
        Self { page: Some((range.clone(), limit)), ..Self::compare(compare) }
    }

    pub(super) fn compare(compare: &Seen) -> Self {
        Self {
            compare: compare.clone(),
            read: Vec::new(),
            write: Vec::new(),
            page: None,
            id: CommitId(0),
            settle: false,
            open: AtomicBool::new(false),
        }
    }

    /// All that a server can be asked without being told to write.
    #[cfg(fuzzing)]
    pub(crate) fn asked(compare: Seen, read: Vec<RecordKey>, page: Option<(KeyRange, usize)>, settle: bool) -> Self {
        Self { read, page, settle, ..Self::compare(&compare) }
    }

    /// The version of what it writes: its id, which is random and never used twice.
    pub(crate) fn version(&self) -> Version {
        Version::new(self.id.0)
    }

    /// What the commit claims: its id.
    pub(crate) fn claim(&self) -> Version {
        if planted(Bug::NoCommitId) { Version::new(random::id()) } else { self.version() }
    }

    /// Whether the id is claimed also if there is a difference, so that an earlier try, which may still be on its way, will not
    /// commit.
    pub(crate) fn refuses(&self) -> bool {
        self.settle && !planted(Bug::NoRefusal)
    }

    /// A server says so before it sends what may commit.
    pub(crate) fn about_to_commit(&self) {
        self.open.store(!self.write.is_empty(), Ordering::Relaxed);
    }

    /// A server says so when it knows that this try has not made the commit, and never will.
    pub(crate) fn not_committed(&self) {
        self.open.store(false, Ordering::Relaxed);
    }
}

/// What a server has found and, when nothing differs, done.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) read: Vec<Option<Record>>,
    pub(crate) differs: Differs,
    pub(crate) page: Vec<(RecordKey, Record)>,
}

/// A server's answer.
#[derive(Debug)]
pub(crate) enum Told {
    /// If there was something to write and nothing differs, the commit was made, and its version is its id.
    // Not every engine says so, and each can be built alone.
    #[cfg_attr(feature = "etcd", allow(dead_code))]
    Found(Found),
    /// As `Found`, of a server that counts its changes and was at this one. It is the version of what was written.
    #[cfg(feature = "etcd")]
    At(Stamp, Found),
    /// The commit's id was claimed by a settlement, so nothing that carries it will ever commit.
    Refused,
}

/// Why a try brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another try may bring one.
    Again(Error),
    /// No other try would.
    Final(Error),
}

/// A failure of the network or the server that may pass.
pub(crate) fn again(message: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::Again(Error::with_source(ErrorKind::Timeout, message, source))
}

/// The right to be served.
pub(crate) type Turn = OwnedSemaphorePermit;

/// What keeps the records, on the other side of a network.
pub(crate) trait Server: Send + Sync + 'static {
    /// Waits for its turn, where only so many requests are served at once. It lasts as long as what this gives is kept. Whoever asks,
    /// tidies or tells has its turn.
    fn turn(&self) -> impl Future<Output = Option<Turn>> + Send {
        std::future::ready(None)
    }

    /// Carries out `ask` once, in one atomic step. It must not try again by itself once a commit may have been made.
    fn ask(&self, ask: &Ask) -> impl Future<Output = Result<Told, Failure>> + Send;

    /// Forgets some ids of commits made longer ago than [`IDS_KEPT`](super::IDS_KEPT), if the server does not do so by itself; whether
    /// there may be more of them.
    fn tidy(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// Tells `watchers` of every change, also those of other processes, until the connection ends. `is_heard` is called once
    /// nothing will be left out any more.
    fn listen(
        &self,
        watchers: &Watchers,
        is_heard: impl Fn() + Send + Sync,
    ) -> impl Future<Output = Result<TellsNothing, Failure>> + Send {
        let _ = (watchers, is_heard);
        listen::silent()
    }

    /// Whether the server has to be told what has been committed, for those who listen.
    const IS_TOLD: bool = false;

    /// Tells the server that these records have been changed. It does not matter much if that fails.
    fn tell(&self, keys: &[RecordKey]) -> impl Future<Output = ()> + Send {
        let _ = keys;
        async {}
    }

    fn limits(&self) -> Limits;

    /// As [`Engine::warnings`](crate::engine::Engine::warnings).
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Asks until there is an outcome with its version and its time, or `deadline` has passed. What is not wanted any more is not sent, unless
/// it may have been carried out already.
pub(super) async fn settle<S: Server>(
    server: &S,
    mut ask: Ask,
    deadline: Instant,
    is_wanted: impl Fn() -> bool,
) -> Result<((Version, Stamp), Found)> {
    let mut pauses = Pauses::new(deadline);
    let mut last = None;
    loop {
        ask.open.store(false, Ordering::Relaxed);
        let failed = match one_try(server, &ask, deadline, last.take(), &is_wanted).await {
            Ok(Told::Found(found)) => return Ok(((ask.version(), Stamp(0)), found)),
            #[cfg(feature = "etcd")]
            Ok(Told::At(stamp, found)) => return Ok(((Version::new(stamp.0.into()), stamp), found)),
            Ok(Told::Refused) => {
                // It is settled that it was not committed. So this is the beginning of another commit.
                ask.id = CommitId(random::id());
                ask.settle = false;
                None
            }
            Err(failure) => {
                let was_open = ask.settle;
                ask.settle |= ask.open.load(Ordering::Relaxed);
                match failure {
                    Failure::Again(_) if ask.settle && planted(Bug::UnknownIsCommitted) => {
                        return Ok(((ask.version(), Stamp(0)), Found::default()));
                    }
                    Failure::Again(error) if ask.settle && planted(Bug::UnknownIsFailed) => return Err(unanswered(error)),
                    Failure::Again(error) if planted(Bug::RetryUnknown) => {
                        (ask.id, ask.settle) = (CommitId(random::id()), false);
                        Some(error)
                    }
                    Failure::Again(error) => Some(error),
                    // Of this try. What became of an earlier one may be found out once this has passed.
                    Failure::Final(error) if was_open => Some(error),
                    Failure::Final(error) if ask.settle => return Err(indeterminate(error)),
                    Failure::Final(error) => return Err(error),
                }
            }
        };
        if !pauses.pause().await {
            let why = failed.unwrap_or_else(|| Error::new(ErrorKind::Timeout, "the commit was refused"));
            return Err(if ask.settle { indeterminate(why) } else { unanswered(why) });
        }
        last = failed;
    }
}

async fn one_try<S: Server>(
    server: &S,
    ask: &Ask,
    deadline: Instant,
    earlier: Option<Error>,
    is_wanted: &impl Fn() -> bool,
) -> Result<Told, Failure> {
    // Nothing is sent meanwhile. If this took time from the try, those who waited for long could not finish, and all would begin again.
    let turn = tokio::time::timeout_at(deadline, server.turn()).await;
    let _turn = turn.map_err(|elapsed| again("all connections are in use", elapsed))?;
    if !ask.settle && !is_wanted() {
        return Err(Failure::Final(Error::new(ErrorKind::Timeout, "nobody waits for it any more; nothing was written")));
    }
    within_a_try(server.ask(ask), deadline, earlier).await
}

/// Connects until it succeeds, or `deadline` has passed.
pub(super) async fn until_there<T, F>(connect: impl Fn() -> F, deadline: Instant) -> Result<T>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pauses = Pauses::new(deadline);
    let mut last = None;
    loop {
        let failed = match within_a_try(connect(), deadline, last.take()).await {
            Ok(there) => return Ok(there),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Again(error)) => error,
        };
        if !pauses.pause().await {
            return Err(unanswered(failed));
        }
        last = Some(failed);
    }
}

/// `earlier`: why the try before has failed. One that the deadline cuts short knows no more than that.
async fn within_a_try<T>(
    future: impl Future<Output = Result<T, Failure>>,
    deadline: Instant,
    earlier: Option<Error>,
) -> Result<T, Failure> {
    let end = deadline.min(Instant::now() + TRY);
    let silent = |elapsed| {
        let earlier = earlier.filter(|_| end == deadline).map(Failure::Again);
        Err(earlier.unwrap_or_else(|| again("the server does not answer", elapsed)))
    };
    tokio::time::timeout_at(end, future).await.unwrap_or_else(silent)
}

fn unanswered(last: Error) -> Error {
    Error::with_source(ErrorKind::Timeout, "the server could not be asked in time; nothing was written", last)
}

fn indeterminate(last: Error) -> Error {
    let message = "the server did not confirm the commit, and it is not known whether it will last";
    Error::with_source(ErrorKind::Indeterminate, message, last)
}

/// Random pauses, until a deadline if there is one.
pub(super) struct Pauses {
    bound: Duration,
    deadline: Option<Instant>,
}

impl Pauses {
    fn new(deadline: Instant) -> Self {
        Self { bound: PAUSES.0, deadline: Some(deadline) }
    }

    pub(super) fn endless() -> Self {
        Self { bound: PAUSES.0, deadline: None }
    }

    /// Waits; false if there is no time left for another try.
    pub(super) async fn pause(&mut self) -> bool {
        let until = Instant::now() + random::below(self.bound);
        self.bound = (self.bound * 2).min(PAUSES.1);
        if self.deadline.is_some_and(|deadline| until >= deadline) {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use tokio::runtime::Builder;

    use super::*;
    use crate::engine::{Request, Write};

    /// Answers with these, in reverse order, and then no more; the first request is taken for one that may have committed.
    struct Answers(Mutex<Vec<Result<Told, Failure>>>);

    impl Server for Answers {
        async fn ask(&self, ask: &Ask) -> Result<Told, Failure> {
            if !ask.settle {
                ask.about_to_commit();
            }
            let answer = self.0.lock().expect("nobody panics").pop();
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }

        fn limits(&self) -> Limits {
            panic!("nobody asks")
        }
    }

    fn error() -> Error {
        Error::new(ErrorKind::Engine, "refused")
    }

    fn settled(answers: Vec<Result<Told, Failure>>) -> Result<((Version, Stamp), Found)> {
        settled_within(TRY, answers)
    }

    fn settled_within(time: Duration, mut answers: Vec<Result<Told, Failure>>) -> Result<((Version, Stamp), Found)> {
        answers.reverse();
        let write = [Write { key: RecordKey::new(&b"key"[..]), bytes: None }];
        let request = Request {
            compare: Seen::NOTHING,
            read: &[],
            write: &write,
            id: CommitId(1),
            durability: crate::Durability::Immediate,
        };
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let server = Answers(Mutex::new(answers));
        runtime.block_on(settle(&server, Ask::of(&request), Instant::now() + time, || true))
    }

    #[test]
    fn an_error_while_an_earlier_try_is_settled_does_not_end_it() {
        let lost = || Err(Failure::Again(error()));
        let refused = || Err(Failure::Final(error()));
        let made = || Ok(Told::Found(Found::default()));
        let ((version, _), _) = settled(vec![lost(), refused(), refused(), made()]).expect("it is settled");
        assert_eq!(version, Version::new(1));
        // One that leaves open what became of its own try.
        assert!(settled(vec![refused()]).expect_err("it is not known").is_indeterminate());
    }

    #[test]
    fn a_try_that_the_deadline_has_cut_short_does_not_hide_why_those_before_it_failed() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let is_first = Cell::new(true);
        let connect = || async {
            if !is_first.replace(false) {
                std::future::pending::<()>().await;
            }
            Err::<(), _>(Failure::Again(error()))
        };
        let until = async { until_there(connect, Instant::now() + Duration::from_millis(50)).await };
        let told = runtime.block_on(until).expect_err("nobody is there");
        assert!(format!("{told:?}").contains("refused"), "{told:?}");
        // Nor of a commit; but what became of one that was refused says nothing of the next.
        let short = Duration::from_millis(500);
        let told = settled_within(short, vec![Err(Failure::Again(error()))]).expect_err("nobody answers");
        assert!(told.is_indeterminate() && format!("{told:?}").contains("refused"), "{told:?}");
        let told = settled_within(short, vec![Ok(Told::Refused)]).expect_err("nobody answers");
        assert!(!format!("{told:?}").contains("refused"), "{told:?}");
    }
}
