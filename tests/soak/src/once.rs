//! The campaign `once`: answers are lost, requests come late, servers are killed, and every call is made once or not at all, as its
//! caller was told.

mod callers;
mod calls;
mod ledger;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};

use metaparticle::Store;
use metaparticle_tests::servers::{self, Server};
use tokio::runtime::Runtime;

use self::callers::{Caller, Desk, lock};
use self::ledger::{Found, Ledger};
use self::wire::Wire;
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::engine::Engine;

/// A round goes on until so many calls had no answer to their commit.
const UNKNOWN: u64 = 20;
/// It is given up after so many calls.
const MOST_CALLS: u64 = 50_000;
/// In one round of so many, the server is killed.
const KILLS: u64 = 3;
/// On each of two stores.
const THREADS: usize = 3;
const TASKS: usize = 6;

/// Loses answers and requests on the way to a server, kills it, and asks whether every call was made once, or not at all, as its caller was told.
///
/// A round has 20 calls at least whose commit was delivered and not answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Once {
    #[command(flatten)]
    settings: Settings,
}

impl Campaign for Once {
    const NAME: &'static str = "once";
    const ENGINES: &'static [Engine] = &[Engine::Postgres, Engine::Redis, Engine::Mysql, Engine::Etcd];
    const ROUNDS: u64 = 10;
    const WRONG: &'static [&'static str] = &["doubled", "lost", "untrue", "torn", "unexpected"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let engine = run.engine.to_string();
        if !servers::is_there(&engine, Self::NAME) {
            return Err(Failure::not_run("the server is not there"));
        }
        let mut place = Place::new(&engine, run.random.fork())?;
        let mut before = None;
        while let Some(round) = run.next_round() {
            let done = place.round(run, round)?;
            // What comes late may come after the end of its round.
            if let Some(before) = before.replace(done) {
                place.compare(run, &before)?;
            }
        }
        if let Some(before) = before {
            place.compare(run, &before)?;
        }
        let rounds = run.rounds();
        run.figures.at_least("unknown", rounds * UNKNOWN)?;
        // Of those, some were told that their commit was made, and some cannot have been.
        run.figures.at_least("settled", rounds * UNKNOWN / 4)?;
        run.figures.at_least("cut", rounds)?;
        run.figures.at_least("late", rounds)?;
        run.figures.at_least("indeterminate", rounds)?;
        run.figures.at_least("repeated", rounds)?;
        run.figures.at_least("kills", rounds / KILLS)?;
        run.figures.at_least("acknowledged", rounds * 2 * UNKNOWN)
    }
}

/// A round that is over.
struct Done {
    number: u64,
    ids: std::ops::Range<u64>,
    ledger: Ledger,
}

/// A server, the way to it, and who uses it.
///
/// The server keeps what it has answered when its process is killed. (Not all that the tests start would survive a power cut.)
struct Place {
    server: Server,
    wire: Wire,
    /// Over the wire.
    stores: [Store; 2],
    /// Directly.
    observer: Store,
    runtime: Runtime,
    next: AtomicU64,
}

impl Place {
    fn new(engine: &str, random: fastrand::Rng) -> Result<Self> {
        let server = Server::start(engine);
        let wire = Wire::before(server.port(), random)?;
        let direct = server.new_url();
        let url = direct.replace(&format!(":{}/", server.port()), &format!(":{}/", wire.port()));
        let observer = Store::open(&direct)?;
        observer.transaction(calls::prepare)?;
        let stores = [Store::open(&url)?, Store::open(&url)?];
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
        Ok(Self { server, wire, stores, observer, runtime, next: AtomicU64::new(0) })
    }

    /// Has everybody call while there are faults; then has everybody ask again who does not know.
    fn round(&mut self, run: &mut Run, number: u64) -> Result<Done> {
        let Self { server, wire, stores, observer, runtime, next } = self;
        let first = next.load(Ordering::Relaxed);
        let kill_at = (number % KILLS == KILLS - 1).then(|| run.random.u64(..UNKNOWN));
        let desk = Desk::new(number, next);
        let mut kills = 0;
        wire.is_faulty(true);
        let worked = std::thread::scope(|scope| {
            let mut callers = Vec::new();
            for store in &*stores {
                for _ in 0..THREADS {
                    let (desk, random) = (&desk, run.random.fork());
                    callers.push(scope.spawn(move || pollster::block_on(desk.work(store, Caller::Thread, random))));
                }
                let tasks: Vec<_> = (0..TASKS).map(|_| run.random.fork()).collect();
                let (desk, runtime) = (&desk, &*runtime);
                callers.push(scope.spawn(move || {
                    let tasks = tasks.into_iter().map(|random| desk.work(store, Caller::Task, random));
                    runtime.block_on(futures_util::future::try_join_all(tasks)).map(drop)
                }));
            }
            loop {
                let unknown = wire.wait();
                if kills == 0 && kill_at.is_some_and(|at| unknown >= at) {
                    server.crash_and_restart();
                    kills += 1;
                }
                let calls = next.load(Ordering::Relaxed) - first;
                if unknown >= UNKNOWN || calls >= MOST_CALLS || desk.is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
            desk.is_over.store(true, Ordering::Relaxed);
            wire.is_faulty(false);
            let ended = callers
                .into_iter()
                .map(|caller| caller.join().unwrap_or_else(|_| Err(Failure::not_run("a caller has panicked"))));
            // All are waited for.
            ended.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
        });
        run.figures.add("kills", kills);
        let settled = worked.and_then(|()| desk.settle(observer));
        let losses = wire.take();
        let ledger = std::mem::take(&mut *lock(&desk.ledger));
        for (name, number) in [
            ("calls", next.load(Ordering::Relaxed) - first),
            ("faults", losses.faults),
            ("unknown", losses.unknown.len() as u64),
            ("cut", losses.cut.len() as u64),
            ("late", losses.late),
            ("stalls", losses.stalls),
        ] {
            run.figures.add(name, number);
        }
        ledger.count(&losses.unknown, &mut run.figures);
        let done = Done { number, ids: first..next.load(Ordering::Relaxed), ledger };
        match settled {
            Ok(()) => self.compare(run, &done).map(|()| done),
            Err(failure) => {
                keep(run, &done, &Found::default());
                Err(failure)
            }
        }
    }

    /// Compares what callers were told with what is there.
    fn compare(&self, run: &Run, done: &Done) -> Result<()> {
        let found = self.observer.transaction(|tx| calls::look(tx, done.number, done.ids.clone()))?;
        done.ledger.compare(&found).inspect_err(|_| keep(run, done, &found))
    }
}

/// Keeps the history of a round that has gone wrong.
fn keep(run: &Run, done: &Done, found: &Found) {
    let history = format!("round {}\n{}{found:#?}\n", done.number, done.ledger);
    if let Err(error) = std::fs::write(run.folder.join("history"), history) {
        eprintln!("the history cannot be kept: {error}");
    }
}
