//! How a hot object does on an engine behind a network: 64 tasks in each of 4 processes increment it, once with transactional
//! functions and once with a loop as it is written by hand, on the same server, one after the other.
//!
//! ```text
//! cargo bench -p metaparticle-tests --bench contention -- postgres 5
//! ```
//!
//! The engine, and for how many seconds each. The loop reads, compares and writes on the same engine and waits between its attempts
//! as the store's own retries do: from the third on, for a random time below a bound that doubles ("full jitter", Marc Brooker,
//! "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). No increment may be lost by either.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metaparticle::engine::{Answer, CommitId, Engine, Record, RecordKey, Reply, Request, Seen, Write};
use metaparticle::{Clock, Durability, Ref, Result, RetryPolicy, Store, SystemClock, conformance, persistent, transactional};
use metaparticle_tests::servers::{Server, is_there};

const PROCESSES: usize = 4;
const TASKS: usize = 64;
/// The record of the loop's counter.
const BY_HAND: &[u8] = b"\x01n";

#[persistent(default)]
struct Counter {
    n: u64,
}

#[transactional]
async fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

#[transactional]
fn count(counter: Ref<Counter>) -> Result<u64> {
    Ok(counter.n)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match arguments.next().as_deref() {
        Some("child") => {
            let arguments: Vec<String> = arguments.collect();
            let [how, url, seconds] = &*arguments else { panic!("{arguments:?}") };
            child(how, url, seconds.parse().expect("seconds"));
        }
        Some(engine) => {
            let seconds = arguments.next().map_or(5, |seconds| seconds.parse().expect("seconds"));
            compare(engine, seconds);
        }
        None => ["mysql", "postgres", "redis"]
            .into_iter()
            .filter(|engine| is_there(engine, "contention"))
            .for_each(|engine| compare(engine, 3)),
    }
}

fn compare(engine: &str, seconds: u64) {
    let server = Server::start(engine);
    let url = server.new_url();
    let by_hand = measure(&url, "loop", seconds);
    assert_eq!(counted_by_hand(&url), by_hand.len() as u64, "increments were lost by hand");
    let url = server.new_url();
    let ours = measure(&url, "transactions", seconds);
    let counted = Store::open(&url).and_then(|store| store.run(|| count("n"))).expect("counts");
    assert_eq!(counted, ours.len() as u64, "increments were lost");
    println!("{engine}, {PROCESSES} processes with {TASKS} tasks each, {seconds} s:");
    for (name, latencies) in [("a loop with jittered retries", &by_hand), ("transactional functions", &ours)] {
        let rate = latencies.len() as f64 / seconds as f64;
        println!("  {name}: {rate:.0} commits/s, median {:?}, 99th percentile {:?}", at(latencies, 50), at(latencies, 99));
    }
    let latency = at(&by_hand, 99).as_secs_f64() / at(&ours, 99).as_secs_f64();
    println!("  {:.1} times the commits, 1/{latency:.1} of the 99th percentile", ours.len() as f64 / by_hand.len() as f64);
}

fn counted_by_hand(url: &str) -> u64 {
    let engine = conformance::engine_at(url).expect("an engine");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let keys = [RecordKey::new(BY_HAND)];
    number(&runtime.block_on(answer(engine.execute(reads(&keys)))).read[0])
}

/// The percentile of latencies that are sorted.
fn at(latencies: &[Duration], percent: usize) -> Duration {
    latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default()
}

fn measure(url: &str, how: &str, seconds: u64) -> Vec<Duration> {
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().expect("this program"))
                .args(["child", how, url, &seconds.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a process starts")
        })
        .collect();
    let outputs: Vec<_> = children
        .iter_mut()
        .map(|child| {
            let mut output = BufReader::new(child.stdout.take().expect("its output"));
            output.read_line(&mut String::new()).expect("it says when it is ready");
            output
        })
        .collect();
    children.iter_mut().for_each(|child| drop(child.stdin.take()));
    let mut latencies = Vec::new();
    for mut output in outputs {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).expect("it says what it has measured");
        let numbers = bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        latencies.extend(numbers.map(Duration::from_nanos));
    }
    children.iter_mut().for_each(|child| assert!(child.wait().expect("it ends").success()));
    latencies.sort();
    latencies
}

fn child(how: &str, url: &str, seconds: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    let ready = || {
        println!("ready");
        std::io::stdin().read_to_end(&mut Vec::new()).expect("it waits for the others");
    };
    let all = match how {
        "loop" => {
            let engine: Arc<dyn Engine> = conformance::engine_at(url).expect("an engine").into();
            let clock = Arc::new(SystemClock::default());
            ready();
            runtime.block_on(tasks(seconds, &stop, move || {
                let (engine, clock) = (engine.clone(), clock.clone());
                async move { by_hand(&*engine, &*clock).await }
            }))
        }
        _ => {
            let store = Store::builder(url).timeout(Duration::from_secs(60)).open().expect("a store");
            store.run(|| count("n")).expect("counts");
            ready();
            runtime.block_on(tasks(seconds, &stop, move || {
                let store = store.clone();
                async move {
                    store.scope(increment("n")).await.expect("increments");
                }
            }))
        }
    };
    let bytes: Vec<u8> = all.into_iter().flat_map(|latency| (latency.as_nanos() as u64).to_le_bytes()).collect();
    std::io::stdout().write_all(&bytes).expect("the output is read");
}

/// Runs all tasks for so long, and what they have begun to its end.
async fn tasks<F, W>(seconds: u64, stop: &Arc<AtomicBool>, work: F) -> Vec<Duration>
where
    F: Fn() -> W + Clone + Send + 'static,
    W: Future<Output = ()> + Send,
{
    let running: Vec<_> = (0..TASKS)
        .map(|_| {
            let (stop, work) = (stop.clone(), work.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    work().await;
                    latencies.push(start.elapsed());
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for task in running {
        all.extend(task.await.expect("no panic"));
    }
    all
}

fn reads(keys: &[RecordKey]) -> Request<'_> {
    Request { compare: Seen::NOTHING, read: keys, write: &[], id: CommitId(0), durability: Durability::Immediate }
}

fn number(record: &Option<Record>) -> u64 {
    record.as_ref().map_or(0, |record| u64::from_le_bytes((*record.bytes).try_into().expect("eight bytes")))
}

/// How long to wait before attempt `number` at most, as the store's own retries do.
fn backoff_bound(number: u32) -> Duration {
    let RetryPolicy { backoff, max_backoff, .. } = RetryPolicy::default();
    match number {
        0..=2 => Duration::ZERO,
        _ => backoff.saturating_mul(2u32.saturating_pow(number - 3)).min(max_backoff),
    }
}

/// One increment as it is written without transactions.
async fn by_hand(engine: &dyn Engine, clock: &dyn Clock) {
    let keys = [RecordKey::new(BY_HAND)];
    let request = reads(&keys);
    let mut record = answer(engine.execute(request)).await.read.remove(0);
    for attempt in 2.. {
        let n = number(&record);
        let compare = Seen { records: vec![(keys[0].clone(), record.map(|record| record.version))], ..Seen::default() };
        let write = [Write { key: keys[0].clone(), bytes: Some((n + 1).to_le_bytes().into()) }];
        let id = CommitId(fastrand::u128(..));
        let reply = answer(engine.execute(Request { compare: &compare, write: &write, id, ..request })).await;
        if reply.differs.is_empty() {
            return;
        }
        let bound = backoff_bound(attempt);
        if !bound.is_zero() {
            // tokio's own clock knows no part of a millisecond.
            clock.delay(bound.mul_f64(fastrand::f64())).await;
        }
        // The reply has what the next attempt needs, but by the time that it has waited, it is old.
        record = answer(engine.execute(request)).await.read.remove(0);
    }
}

async fn answer(answer: Answer<'_, Reply>) -> Reply {
    match answer {
        Answer::Ready(reply) => reply,
        Answer::Later(reply) | Answer::Committing(reply) => reply.await,
    }
    .expect("the engine answers")
}
