//! The commit pipeline, over a map whose disk does what the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Embedded;
use super::map::{Found, Group, Log, OrderedMap, change_bytes};
use crate::clock::SystemClock;
use crate::durability::Durability;
use crate::engine::{
    Answer, CommitId, Engine, KeyRange, Limits, Record, RecordKey, Reply, Request, Seen, SeenRange, Stamp, Version, Write,
};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering, block_on, thread};

/// A disk in memory: a log that waits for permission, and a map.
#[derive(Default)]
struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
}

#[derive(Default)]
struct DiskState {
    /// What the map has.
    records: BTreeMap<RecordKey, Record>,
    /// How many groups may still be written.
    permits: usize,
    writing: bool,
    groups: Vec<(u64, usize)>,
    fails: bool,
    panics: bool,
    /// Whether the map keeps what it is given in the middle of being applied.
    holds: bool,
    applying: BTreeSet<RecordKey>,
    /// What the map was given, in bytes.
    parts: Vec<usize>,
    /// How many groups had been written when the map was given its first part.
    first_run: Option<usize>,
    /// How many parts the map may be given, if it is not as many as there are.
    part_permits: Option<usize>,
    /// Whether the log has as much as it was given, instead of so much that the map has to follow each time.
    is_counted: bool,
    /// The groups in the log, with their bytes.
    log: Vec<(u64, u64)>,
}

impl DiskState {
    fn log_bytes(&self) -> u64 {
        self.log.iter().map(|(_, bytes)| bytes).sum()
    }

    fn record(&self, key: &[u8]) -> Result<Option<Record>> {
        if self.applying.contains(key) {
            return Err(Error::new(ErrorKind::Corrupt, "the record is halfway between two states"));
        }
        Ok(self.records.get(key).cloned())
    }
}

impl Disk {
    fn permit(&self, groups: usize) {
        self.state.lock().permits = groups;
        self.changed.notify_all();
    }

    /// Whether the map keeps what it is given in the middle of being applied.
    fn hold(&self, holds: bool) {
        self.state.lock().holds = holds;
        self.changed.notify_all();
    }

    fn fail(&self) {
        self.state.lock().fails = true;
        self.permit(1);
    }

    /// Returns once the flusher is writing.
    fn wait_until_writing(&self) {
        self.wait_until(|state| state.writing);
    }

    fn wait_until(&self, is_so: impl Fn(&DiskState) -> bool) {
        let mut state = self.state.lock();
        while !is_so(&state) {
            if self.changed.wait_for(&mut state, Duration::from_secs(60)).timed_out() && !is_so(&state) {
                // Other threads are to end.
                (state.permits, state.part_permits, state.holds) = (usize::MAX, None, false);
                self.changed.notify_all();
                panic!("nothing has happened for a minute; {} bytes are in the log", state.log_bytes());
            }
        }
    }
}

impl OrderedMap for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        self.state.lock().record(key)
    }

    fn range(&self, range: &KeyRange, limit: usize, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Found>> {
        let state = self.state.lock();
        let found = state.records.range(range.start.clone()..range.end.clone()).take(limit);
        let record = |key| if wanted(key) { state.record(key) } else { Ok(None) };
        found.map(|(key, _)| Ok((key.clone(), record(key)?))).collect()
    }

    fn apply(&self, group: &Group) -> Result<()> {
        let mut state = self.state.lock();
        state.applying = group.changes.iter().map(|(key, _)| key.clone()).collect();
        state.first_run = state.first_run.or(Some(state.groups.len()));
        self.changed.notify_all();
        while state.holds || state.part_permits == Some(0) {
            self.changed.wait(&mut state);
        }
        if let Some(permits) = &mut state.part_permits {
            *permits -= 1;
        }
        state.applying.clear();
        state.parts.push(bytes_of(group));
        for (key, record) in &group.changes {
            match record {
                Some(record) => drop(state.records.insert(key.clone(), record.clone())),
                None => drop(state.records.remove(key)),
            }
        }
        self.changed.notify_all();
        Ok(())
    }

    fn last_commit(&self) -> u64 {
        0
    }

    fn limits(&self) -> Limits {
        Limits::NONE
    }
}

fn bytes_of(group: &Group) -> usize {
    group.changes.iter().map(|(key, record)| change_bytes(key, record.as_ref().map(|record| &*record.bytes))).sum()
}

struct DiskLog(Arc<Disk>);

impl Log for DiskLog {
    fn append(&mut self, group: &Group) -> Result<()> {
        let mut state = self.0.state.lock();
        state.writing = true;
        self.0.changed.notify_all();
        while state.permits == 0 {
            self.0.changed.wait(&mut state);
        }
        state.permits -= 1;
        state.writing = false;
        assert!(!state.panics, "the disk is gone");
        if state.fails {
            return Err(Error::new(ErrorKind::Engine, "the disk is broken"));
        }
        state.groups.push((group.last_commit, group.changes.len()));
        state.log.push((group.last_commit, bytes_of(group) as u64));
        self.0.changed.notify_all();
        Ok(())
    }

    fn release(&mut self, commit: u64) -> Result<()> {
        self.0.state.lock().log.retain(|(last, _)| *last > commit);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let state = self.0.state.lock();
        if state.is_counted { state.log_bytes() } else { 16 << 20 }
    }
}

/// An hour: nothing is written because of the time.
const NEVER: Duration = Duration::from_secs(3600);

fn engine(interval: Duration) -> (Embedded, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let log = DiskLog(disk.clone());
    (Embedded::over(disk.clone(), |_| Ok(log), 1 << 20, interval).expect("starts"), disk)
}

fn key(name: &str) -> RecordKey {
    RecordKey::new(name.as_bytes())
}

fn request<'a>(read: &'a [RecordKey], write: &'a [Write]) -> Request<'a> {
    Request { compare: Seen::NOTHING, read, write, id: CommitId(1), durability: Durability::Immediate }
}

fn ready<T>(answer: Answer<'_, T>) -> Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(_) | Answer::Committing(_) => panic!("the engine should have answered at once"),
    }
}

pub(super) fn wait<T>(answer: Answer<'_, T>) -> Result<T> {
    match answer {
        Answer::Ready(result) => result,
        Answer::Later(future) | Answer::Committing(future) => {
            block_on(future, &SystemClock::default(), None).expect("no deadline")
        }
    }
}

fn is_pending<T>(answer: Answer<'_, T>) -> bool {
    match answer {
        Answer::Ready(_) => false,
        Answer::Later(future) | Answer::Committing(future) => {
            matches!(pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
        }
    }
}

fn put(engine: &Embedded, name: &str, bytes: usize) -> Reply {
    let write = [Write { key: key(name), bytes: Some(vec![7; bytes].into()) }];
    ready(engine.execute(request(&[], &write))).expect("commits")
}

#[test]
fn a_commit_is_seen_at_once_and_durable_later() {
    let (engine, disk) = engine(NEVER);
    let reply = put(&engine, "a", 1);
    let read = ready(engine.execute(request(&[key("a")], &[]))).expect("reads");
    assert!(read.read[0].is_some(), "others do not see it");
    assert!(is_pending(engine.durable(reply.durable_at)), "it is said to be durable, and nothing was written");
    disk.permit(1);
    wait(engine.durable(reply.durable_at)).expect("is written");
    assert_eq!(disk.state.lock().groups, [(1, 1)]);
}

#[test]
fn a_read_is_held_back_until_what_it_saw_is_durable() {
    let (engine, disk) = engine(NEVER);
    put(&engine, "a", 1);
    let (a, other) = ([key("a")], [key("b")]);
    let read = ready(engine.execute(request(&a, &[]))).expect("reads");
    assert!(is_pending(engine.durable(read.durable_at)), "the read may get out before the write is safe");
    let unrelated = ready(engine.execute(request(&other, &[]))).expect("reads");
    assert_eq!(unrelated.durable_at, Stamp(0), "a read of something else need not wait");
    let range = KeyRange { start: key("a"), end: key("z") };
    let page = ready(engine.scan(Seen::NOTHING, &range, 10)).expect("reads");
    assert!(page.durable_at > Stamp(0), "the scan may get out before the write is safe");
    disk.permit(2);
    wait(engine.durable(read.durable_at)).expect("is written");
    // A removal that is not yet durable shows as well.
    let write = [Write { key: key("a"), bytes: None }];
    ready(engine.execute(request(&[], &write))).expect("commits");
    let read = ready(engine.execute(request(&a, &[]))).expect("reads");
    assert!(read.read[0].is_none() && read.durable_at > Stamp(0));
    let page = ready(engine.scan(Seen::NOTHING, &range, 10)).expect("reads");
    assert!(page.records.is_empty() && page.durable_at > Stamp(0));
}

#[test]
fn commits_that_wait_share_one_flush() {
    let (engine, disk) = engine(NEVER);
    let first = put(&engine, "first", 1);
    assert!(is_pending(engine.durable(first.durable_at)));
    disk.wait_until_writing();
    let replies: Vec<_> = (0..100).map(|n| put(&engine, &format!("{}", n % 10), 1)).collect();
    let last = replies.last().expect("some");
    assert!(is_pending(engine.durable(last.durable_at)));
    disk.permit(2);
    wait(engine.durable(last.durable_at)).expect("is written");
    assert_eq!(disk.state.lock().groups, [(1, 1), (101, 10)], "one flush for all, and each key once");
}

#[test]
fn the_map_is_given_no_more_than_it_can_take_at_once() {
    let (engine, disk) = engine(NEVER);
    for n in 0..10 {
        let write: Vec<_> =
            (0..2).map(|part| Write { key: key(&format!("{n}{part}")), bytes: Some(vec![7; 50_000].into()) }).collect();
        ready(engine.execute(request(&[], &write))).expect("commits");
    }
    disk.permit(usize::MAX);
    wait(engine.durable(Stamp(10))).expect("is written");
    drop(engine);
    let state = disk.state.lock();
    assert_eq!(state.records.len(), 20);
    assert!(state.parts.len() > 3 && state.parts.iter().all(|bytes| *bytes <= 256 << 10), "{:?}", state.parts);
}

#[test]
fn committers_wait_for_a_disk_that_falls_behind() {
    let (engine, disk) = engine(NEVER);
    let write = |name: &str| [Write { key: key(name), bytes: Some(vec![7; 200_000].into()) }];
    let mut commits = 0;
    while matches!(engine.execute(request(&[], &write(&commits.to_string()))), Answer::Ready(Ok(_))) {
        commits += 1;
        assert!(commits < 1000, "committers run ahead of the disk without bound");
    }
    assert!(is_pending(engine.execute(request(&[], &write("more")))));
    disk.permit(usize::MAX);
    wait(engine.execute(request(&[], &write("more")))).expect("commits when there is room");
}

/// Otherwise all commits would stop for as long as the map takes for what it is behind.
#[test]
fn a_map_that_falls_behind_slows_commits_down_and_does_not_stop_them() {
    const MIB: u64 = 1 << 20;
    let (engine, disk) = engine(NEVER);
    {
        let mut state = disk.state.lock();
        (state.permits, state.part_permits, state.is_counted) = (usize::MAX, Some(0), true);
    }
    let permit_parts = |parts| {
        let mut state = disk.state.lock();
        state.part_permits = state.part_permits.map(|permits| permits + parts);
        disk.changed.notify_all();
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..800 {
                let write = [Write { key: key(&n.to_string()), bytes: Some(vec![7; 200_000].into()) }];
                let reply = wait(engine.execute(request(&[], &write))).expect("commits");
                wait(engine.durable(reply.durable_at)).expect("is written");
                // So that it is known how much the map is first given.
                disk.wait_until(|state| state.log_bytes() < 16 * MIB || state.first_run.is_some());
            }
            disk.state.lock().part_permits = None;
            disk.changed.notify_all();
        });
        // The map has nothing of the first 16 MiB; a commit is a part, because it is given no two of this size at once.
        disk.wait_until(|state| state.log_bytes() > 31 * MIB);
        let parts = disk.state.lock().first_run.expect("the map was given a part");
        // It is nearly done.
        permit_parts(parts * 19 / 20);
        disk.wait_until(|state| state.log_bytes() > 60 * MIB);
        // Now it is three times as far behind.
        permit_parts(parts / 20 + 6);
        while !writer.is_finished() {
            let written = disk.state.lock().groups.len();
            permit_parts(24);
            disk.wait_until(|state| state.part_permits.is_none() || state.groups.len() >= written + 5);
            assert!(disk.state.lock().log_bytes() <= 65 * MIB, "the log grows without bound");
        }
    });
}

#[test]
fn after_a_failed_flush_every_call_is_told_so() {
    let (engine, disk) = engine(NEVER);
    let reply = put(&engine, "a", 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(engine.durable(reply.durable_at)));
        disk.wait_until_writing();
        disk.fail();
        let error = waiting.join().expect("no panic").expect_err("it is not on disk");
        assert_eq!(error.to_string(), "the disk is broken");
    });
    let write = [Write { key: key("b"), bytes: None }];
    let range = KeyRange { start: key("a"), end: key("z") };
    let errors = [
        wait(engine.execute(request(&[], &write))).map(drop),
        wait(engine.execute(request(&[key("a")], &[]))).map(drop),
        wait(engine.scan(Seen::NOTHING, &range, 1)).map(drop),
        wait(engine.durable(Stamp(2))),
        wait(engine.watch(Seen::NOTHING)),
    ];
    for error in errors {
        assert_eq!(error.expect_err("the store has failed").to_string(), "the disk is broken");
    }
}

#[test]
fn what_nobody_waits_for_is_written_after_the_interval() {
    let (engine, disk) = engine(Duration::from_millis(1));
    disk.permit(1);
    put(&engine, "a", 1);
    disk.wait_until(|state| !state.groups.is_empty());
    drop(engine);
}

#[test]
fn an_engine_that_is_dropped_writes_everything_first() {
    let (engine, disk) = engine(NEVER);
    disk.permit(usize::MAX);
    (0..100).for_each(|n| drop(put(&engine, &n.to_string(), 10)));
    drop(engine);
    assert_eq!(disk.state.lock().records.len(), 100);
}

#[test]
fn a_scan_is_the_same_before_and_after_its_records_are_written() {
    let (engine, disk) = engine(NEVER);
    let mut random = fastrand::Rng::with_seed(11);
    let mut expected = BTreeMap::new();
    disk.permit(usize::MAX);
    for round in 0..2000u64 {
        let name = format!("{:02}", random.u32(..40));
        let bytes = random.bool().then(|| vec![random.u8(..); 3]);
        match &bytes {
            Some(bytes) => drop(expected.insert(name.clone(), bytes.clone())),
            None => drop(expected.remove(&name)),
        }
        let write = [Write { key: key(&name), bytes: bytes.map(Into::into) }];
        let reply = ready(engine.execute(request(&[], &write))).expect("commits");
        if round % 7 == 0 {
            wait(engine.durable(reply.durable_at)).expect("is written");
        }
        let limit = random.usize(1..12);
        let (mut start, mut found) = (key("00"), BTreeMap::new());
        let end = key("99");
        while start < end {
            let page = ready(engine.scan(Seen::NOTHING, &KeyRange { start, end: end.clone() }, limit)).expect("reads");
            assert!(page.records.len() <= limit);
            start = page.range.end;
            let text = |key: &RecordKey| String::from_utf8_lossy(key).into_owned();
            found.extend(page.records.iter().map(|(key, record)| (text(key), record.bytes.to_vec())));
        }
        assert_eq!(found, expected, "round {round}");
    }
}

/// The map may be halfway between two states of a record then.
#[test]
fn a_record_that_is_being_applied_is_not_read_from_the_map() {
    let (engine, disk) = engine(NEVER);
    disk.permit(usize::MAX);
    let first = put(&engine, "a", 1);
    wait(engine.durable(first.durable_at)).expect("is written");
    disk.wait_until(|state| state.records.contains_key(&key("a")));
    disk.hold(true);
    let second = put(&engine, "a", 2);
    wait(engine.durable(second.durable_at)).expect("is written");
    disk.wait_until(|state| state.applying.contains(&key("a")));
    let range = KeyRange { start: key("a"), end: key("z") };
    let page = ready(engine.scan(Seen::NOTHING, &range, 10));
    let read = ready(engine.execute(request(&[key("a")], &[])));
    disk.hold(false);
    assert_eq!(page.expect("reads").records[0].1.bytes.len(), 2);
    assert_eq!(read.expect("reads").read[0].as_ref().map(|record| record.bytes.len()), Some(2));
}

/// What is kept at hand must be what the map has, also when it is read while newer commits come.
#[test]
fn records_at_hand_are_the_newest() {
    let (engine, disk) = engine(Duration::ZERO);
    disk.permit(usize::MAX);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while last < 3000 {
                let read = wait(engine.execute(request(&[key("a")], &[]))).expect("reads");
                let found = read.read[0].as_ref().map_or(0, |record| record.bytes.len());
                assert!(found >= last, "{found} bytes were read after {last}");
                last = found;
            }
        });
        for bytes in 1..=3000 {
            put(&engine, "a", bytes);
            if bytes % 3 == 0 {
                // Let the map have it, so that it is read from there.
                disk.wait_until(|state| state.records.get(&key("a")).is_some_and(|record| record.bytes.len() == bytes));
            }
        }
        reader.join().expect("no panic");
    });
}

#[test]
fn a_page_of_large_records_ends_early() {
    let (engine, disk) = engine(NEVER);
    disk.permit(usize::MAX);
    for n in 0..100 {
        let write = [Write { key: key(&format!("{n:02}")), bytes: Some(vec![7; 100_000].into()) }];
        wait(engine.execute(request(&[], &write))).expect("commits");
    }
    wait(engine.durable(Stamp(100))).expect("is written");
    let (mut start, end, mut pages) = (key("00"), key("99z"), Vec::new());
    while start < end {
        let page = ready(engine.scan(Seen::NOTHING, &KeyRange { start, end: end.clone() }, 256)).expect("reads");
        start = page.range.end;
        pages.push(page.records.len());
    }
    assert_eq!(pages.iter().sum::<usize>(), 100);
    assert!(pages.iter().all(|records| *records < 50), "{pages:?}");
}

/// What a scan has seen stays what is compared, however the records of its range are spread over table and map.
#[test]
fn a_key_that_comes_behind_one_not_yet_removed_on_disk_is_noticed() {
    let (engine, disk) = engine(NEVER);
    disk.permit(usize::MAX);
    let write = ["a", "b", "c"].map(|name| Write { key: key(name), bytes: Some(vec![7].into()) });
    let reply = ready(engine.execute(request(&[], &write))).expect("commits");
    wait(engine.durable(reply.durable_at)).expect("is written");
    let remove = ["b", "c"].map(|name| Write { key: key(name), bytes: None });
    ready(engine.execute(request(&[], &remove))).expect("commits");
    let range = KeyRange { start: key("a"), end: key("z") };
    let page = ready(engine.scan(Seen::NOTHING, &range, 10)).expect("reads");
    let keys: Vec<_> = page.records.into_iter().map(|(key, _)| key).collect();
    assert_eq!((&keys, page.range.end), (&vec![key("a")], key("z")));
    let seen = Seen { ranges: vec![SeenRange { range, keys }], stamp: page.stamp, ..Seen::default() };
    let compare = || ready(engine.execute(Request { compare: &seen, ..request(&[], &[]) })).expect("compares").differs.ranges;
    put(&engine, "zz", 1);
    assert!(compare().is_empty(), "it is outside of the range");
    put(&engine, "y", 1);
    assert_eq!(compare(), [0], "a key has come, and nobody noticed");
}

#[test]
fn after_a_panic_of_the_thread_that_writes_every_call_is_told_so() {
    let (engine, disk) = engine(NEVER);
    let reply = put(&engine, "a", 1);
    disk.state.lock().panics = true;
    disk.permit(1);
    let error = wait(engine.durable(reply.durable_at)).expect_err("nobody writes it");
    assert_eq!(error.to_string(), super::queue::flusher_ended().to_string());
    assert!(wait(engine.execute(request(&[key("a")], &[]))).is_err());
    drop(engine);
    assert_eq!(Arc::strong_count(&disk), 1, "the map is kept open, and cannot be opened again");
}

/// Does what it was made with, once.
struct WakeBy<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send + 'static> WakeBy<F> {
    fn waker(wake: F) -> Waker {
        Waker::from(Arc::new(Self(Mutex::new(Some(wake)))))
    }
}

impl<F: FnOnce() + Send + 'static> Wake for WakeBy<F> {
    fn wake(self: Arc<Self>) {
        let wake = self.0.lock().take();
        wake.into_iter().for_each(|wake| wake());
    }
}

/// It is code of the user's, on the thread that writes.
#[test]
fn a_waker_that_panics_keeps_nobody_asleep() {
    let (engine, disk) = engine(NEVER);
    let reply = put(&engine, "a", 1);
    let woken = Arc::new(AtomicBool::new(false));
    let wakers = [
        WakeBy::waker(|| panic!("a waker of the user's")),
        WakeBy::waker({
            let woken = woken.clone();
            move || woken.store(true, Ordering::Release)
        }),
    ];
    for waker in &wakers {
        assert!(engine.shared.queue.poll_durable(reply.durable_at.0, &mut Context::from_waker(waker)).is_pending());
    }
    disk.wait_until_writing();
    put(&engine, "b", 1);
    disk.permit(usize::MAX);
    drop(engine);
    assert!(woken.load(Ordering::Acquire), "somebody sleeps on");
    assert_eq!(disk.state.lock().records.len(), 2, "nobody writes any more");
}

/// Such as an executor that ends, and drops what it has.
#[test]
fn a_waker_may_drop_the_engine_on_a_thread_of_its_own() {
    let (engine, disk) = engine(NEVER);
    let reply = put(&engine, "a", 1);
    let shared = engine.shared.clone();
    let (tell, told) = mpsc::channel();
    let waker = WakeBy::waker(move || {
        drop(engine);
        let _ = tell.send(());
    });
    assert!(shared.queue.poll_durable(reply.durable_at.0, &mut Context::from_waker(&waker)).is_pending());
    drop((shared, waker));
    disk.permit(usize::MAX);
    told.recv().expect("the engine is dropped");
    disk.wait_until(|state| state.records.len() == 1);
}

/// Otherwise a number would be given twice, and a change of the second one be taken for the first.
#[test]
fn commits_are_numbered_on_from_the_newest_one_in_the_log() {
    let disk = Arc::new(Disk::default());
    let log = DiskLog(disk.clone());
    let old = Record { version: Version::new(7), bytes: vec![1].into() };
    let group = Group { changes: vec![(key("a"), Some(old))], last_commit: 7 };
    let open = |replay: &mut dyn FnMut(Group) -> Result<()>| replay(group).map(|()| log);
    let engine = Embedded::over(disk.clone(), open, 1 << 20, NEVER).expect("starts");
    disk.permit(usize::MAX);
    assert_eq!(put(&engine, "b", 1).version, Some(Version::new(8)));
    drop(engine);
    assert_eq!(disk.state.lock().groups, [(8, 1)]);
}

#[test]
fn what_was_overwritten_before_it_was_written_takes_no_room() {
    let (engine, disk) = engine(NEVER);
    // Ten times as much as may be unwritten, and never more than a hundredth of it at once.
    let write = [Write { key: key("a"), bytes: Some(vec![7; 30_000].into()) }];
    let answered = (0..1000).take_while(|_| matches!(engine.execute(request(&[], &write)), Answer::Ready(_))).count();
    disk.permit(usize::MAX);
    assert_eq!(answered, 1000, "there was no room");
}
