//! The campaign `serializable`: what clients see of each other must be as if one transaction came after the other.
//!
//! Each round is a history of its own, on objects of its own, so that the memory that it takes is bounded.

mod checker;
mod client;
mod event;
mod history;
mod invariants;
mod lists;
mod opinion;

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use metaparticle::Store;
use metaparticle_tests::proxy::{Fault, Proxy};
use metaparticle_tests::servers::{self, Server};

use self::checker::Anomaly;
pub(crate) use self::client::Process;
use self::client::{PATIENCE, Part};
use self::event::Event;
use self::history::{Op, Outcome, Transaction, read_lines, write_lines};
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::child::Child;
use crate::engine::Engine;

/// So many transactions are in a round.
const EMBEDDED: u64 = 20_000;
const NETWORKED: u64 = 2_000;
/// Who runs them.
const THREADS: u64 = 8;
const PROCESSES: u64 = 3;
const THREADS_OF_A_PROCESS: u64 = 4;
/// Every so many rounds, the second opinion is asked.
const SAMPLE: u64 = 10;
/// Every so many rounds, an embedded store is opened again, and with faults, a server is killed.
const INTERRUPTED: u64 = 5;
/// With faults, one request in so many meets one.
const FAULTY: u32 = 100;

/// What is counted, in the order in which it is told.
const FIGURES: &[&str] = &[
    "transactions",
    "acknowledged",
    "unknown",
    "failed",
    "conflicts",
    "rebased",
    "read_only",
    "undone",
    "ranges",
    "rolled_back",
];

/// Runs transactions of many kinds at once, and checks whether they can have happened one after the other.
#[derive(Debug, clap::Args)]
pub(crate) struct Serializable {
    #[command(flatten)]
    settings: Settings,
    /// Lets requests and answers get lost on the way to the server, and kills it now and then.
    #[arg(long)]
    faults: bool,
}

impl Campaign for Serializable {
    const NAME: &'static str = "serializable";
    const ENGINES: &'static [Engine] =
        &[Engine::Sled, Engine::Fjall, Engine::Memory, Engine::Postgres, Engine::Redis, Engine::Mysql, Engine::Etcd];
    const ROUNDS: u64 = 50;
    const WRONG: &'static [&'static str] = &["anomalies", "stuck"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        if self.faults { vec!["--faults".to_owned()] } else { Vec::new() }
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let seed = run.random.u64(..);
        FIGURES.iter().for_each(|name| run.figures.add(name, 0));
        let mut place = Place::open(run, self.faults)?;
        while let Some(round) = run.next_round() {
            let store = place.store()?;
            invariants::prepare(&store, round)?;
            let mut events = place.run(run, &store, round, seed)?;
            let last = lists::read_all(&store, round, u64::MAX)?;
            let mut found = invariants::check(&store, round, &events)?;
            let lists = take_lists(&mut events, last);
            count(run, &lists, &events);
            found.extend(checker::check(&lists));
            let opinion = (round.is_multiple_of(SAMPLE) || !found.is_empty()).then(|| opinion::ask(&lists));
            if let Some(Err(what)) = &opinion
                && found.is_empty()
            {
                found.push(Anomaly::new("opinion", what));
            }
            run.figures.add("opinions", u64::from(opinion.is_some()));
            if !found.is_empty() {
                return Err(self.keep(run, &lists, &events, &found, opinion));
            }
            invariants::clear(&store, round)?;
            lists::clear(&store, round)?;
        }
        self.did_enough(run)
    }
}

impl Serializable {
    fn did_enough(&self, run: &Run) -> Result<()> {
        let transactions = run.figures.get("transactions");
        run.figures.at_least("acknowledged", transactions / 2)?;
        for name in ["read_only", "failed", "undone", "ranges"] {
            run.figures.at_least(name, transactions / 100)?;
        }
        run.figures.at_least("conflicts", transactions / 1000)?;
        run.figures.at_least("rebased", transactions / 10_000)?;
        if is_here(run.engine) {
            run.figures.at_least("rolled_back", transactions / 100)?;
        }
        if self.faults {
            run.figures.at_least("faults", transactions / 1000)?;
            run.figures.at_least("crashes", run.rounds() / INTERRUPTED)?;
        }
        Ok(())
    }

    /// Keeps the history for people, and says what is wrong with it.
    fn keep(
        &self,
        run: &mut Run,
        lists: &[Transaction],
        events: &[Event],
        found: &[Anomaly],
        opinion: Option<Result<(), String>>,
    ) -> Failure {
        let kept = File::create(run.folder.join("lists.jsonl"))
            .map_err(Failure::from)
            .and_then(|file| write_lines(std::io::BufWriter::new(file), lists))
            .and_then(|()| Ok(File::create(run.folder.join("events.jsonl"))?))
            .and_then(|file| write_lines(std::io::BufWriter::new(file), events));
        let mut said: Vec<String> = found.iter().take(10).map(|Anomaly { kind, what }| format!("{kind}: {what}")).collect();
        said.push(match opinion {
            Some(Err(what)) => format!("adya says: {what}"),
            _ => "adya finds nothing".to_owned(),
        });
        said.extend(kept.err().map(|failure| failure.to_string()));
        let kinds: HashSet<&'static str> = found.iter().map(|anomaly| anomaly.kind).collect();
        kinds.into_iter().for_each(|kind| run.figures.add(kind, 1));
        Failure::new("anomalies", said.join("\n"))
    }
}

/// The transactions on lists, with the last one, which has read all that was ever appended to.
fn take_lists(events: &mut Vec<Event>, mut last: Transaction) -> Vec<Transaction> {
    let mut lists = Vec::new();
    for event in std::mem::take(events) {
        match event {
            Event::Lists(transaction) => lists.push(transaction),
            event => events.push(event),
        }
    }
    let appended: HashSet<u64> = lists.iter().flat_map(|one| &one.ops).filter_map(appended_to).collect();
    let read: HashSet<u64> = last.ops.iter().filter_map(|op| if let Op::Read(key, _) = op { Some(*key) } else { None }).collect();
    last.ops.extend(appended.difference(&read).map(|key| Op::Read(*key, Vec::new())));
    lists.push(last);
    lists
}

fn appended_to(op: &Op) -> Option<u64> {
    if let Op::Append(key, _) = op { Some(*key) } else { None }
}

fn count(run: &mut Run, lists: &[Transaction], events: &[Event]) {
    let outcomes = events.iter().filter_map(|event| match event {
        Event::Added { outcome, .. } | Event::Incremented(outcome) | Event::Moved(outcome) | Event::Did(outcome) => {
            Some(*outcome)
        }
        _ => None,
    });
    let (mut transactions, mut figures) = (0, run.figures.clone());
    for outcome in lists.iter().map(|one| one.outcome).chain(outcomes) {
        transactions += u64::from(outcome != Outcome::Attempt);
        let name = match outcome {
            Outcome::Committed => "acknowledged",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
            Outcome::Attempt => "rolled_back",
        };
        figures.add(name, 1);
    }
    figures.add("transactions", transactions);
    for transaction in lists {
        let any = |is: fn(&Op) -> bool| u64::from(transaction.ops.iter().any(is));
        figures.add("read_only", 1 - any(|op| matches!(op, Op::Append(..))));
        figures.add("undone", any(|op| *op == Op::Undo));
        figures.add("ranges", any(|op| matches!(op, Op::Absent(_))));
    }
    run.figures = figures;
}

/// Whether its stores are in this process, where attempts that are rolled back are known.
fn is_here(engine: Engine) -> bool {
    matches!(engine, Engine::Memory | Engine::Sled | Engine::Fjall)
}

/// Where the store is.
#[allow(clippy::large_enum_variant)]
enum Place {
    Here { url: String, store: Option<Store>, rounds: u64 },
    Server { server: Server, url: String, proxy: Option<(Proxy, u16)>, seen: u32 },
}

impl Place {
    fn open(run: &Run, faults: bool) -> Result<Self> {
        let engine = run.engine.to_string();
        if is_here(run.engine) {
            if faults {
                return Err(Failure::not_run(format!("there are no faults for {engine} here")));
            }
            let url =
                if run.engine == Engine::Memory { "memory:".to_owned() } else { run.engine.url_in(&run.folder.join("store")) };
            return Ok(Self::Here { url, store: None, rounds: 0 });
        }
        if !servers::is_there(&engine, "the campaign") {
            return Err(Failure::not_run(format!("the server of {engine} is missing")));
        }
        let server = Server::start(&engine);
        let url = server.new_url();
        let port = server.port();
        let proxy = faults.then(|| (Proxy::before(port), port));
        Ok(Self::Server { server, url, proxy, seen: 0 })
    }

    /// The store, to look at from outside.
    fn store(&mut self) -> Result<Store> {
        match self {
            Self::Server { url, .. } => Ok(Store::builder(url).timeout(PATIENCE).open()?),
            Self::Here { url, store, rounds } => {
                *rounds += 1;
                if rounds.is_multiple_of(INTERRUPTED) && url != "memory:" {
                    *store = None;
                }
                let opened = match store.take() {
                    Some(store) => store,
                    None => Store::open(&url)?,
                };
                Ok(store.insert(opened).clone())
            }
        }
    }

    /// Runs the clients of a round.
    fn run(&mut self, run: &mut Run, store: &Store, round: u64, seed: u64) -> Result<Vec<Event>> {
        let Self::Server { server, url, proxy, seen } = self else {
            let before = store.stats();
            let part = Part {
                round,
                seed,
                process: 0,
                processes: 1,
                threads: THREADS,
                transactions: EMBEDDED,
                is_opaque: true,
                tells: false,
            };
            let events = part.run(store);
            let after = store.stats();
            run.figures.add("conflicts", after.reruns - before.reruns);
            run.figures.add("rebased", after.rebases - before.rebases);
            return Ok(events);
        };
        let url = match &proxy {
            Some((proxy, port)) => url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port())),
            None => url.clone(),
        };
        if let Some((proxy, _)) = proxy {
            proxy.again_and_again(&[Fault::LoseReply, Fault::LoseRequest], FAULTY);
        }
        let mut children = Vec::new();
        for process in 0..PROCESSES {
            let transactions = NETWORKED.div_ceil(PROCESSES);
            let threads = THREADS_OF_A_PROCESS;
            let part = Part { round, seed, process, processes: PROCESSES, threads, transactions, is_opaque: false, tells: false };
            let file = run.folder.join(format!("client-{process}.jsonl"));
            let arguments = Process::new(&part, &url, file.clone()).arguments();
            children.push((Child::start(&arguments, &run.folder.join(format!("client-{process}.errors")))?, file));
        }
        if proxy.is_some() && round % INTERRUPTED == INTERRUPTED - 1 {
            // At some moment.
            std::thread::sleep(Duration::from_millis(run.random.u64(100..600)));
            server.crash_and_restart();
            run.figures.add("crashes", 1);
        }
        let mut events = Vec::new();
        for (mut child, file) in children {
            let (reruns, rebases) = wait_for(&mut child)?;
            run.figures.add("conflicts", reruns);
            run.figures.add("rebased", rebases);
            events.extend(read_lines::<Event>(BufReader::new(File::open(file)?))?);
        }
        if let Some((proxy, _)) = proxy {
            proxy.again_and_again(&[], FAULTY);
            run.figures.add("faults", (proxy.met() - *seen).into());
            *seen = proxy.met();
        }
        Ok(events)
    }
}

/// Waits until a client is done, and gives what it counted.
fn wait_for(child: &mut Child) -> Result<(u64, u64)> {
    let mut last = None;
    while let Some(line) = child.line()? {
        last = Some(line);
    }
    let mut words = last.iter().flat_map(|line| line.split(' '));
    let is_done = words.next() == Some("DONE");
    let mut number = || words.next().and_then(|word| word.parse().ok()).filter(|_| is_done);
    match (number(), number()) {
        (Some(reruns), Some(rebases)) => Ok((reruns, rebases)),
        _ => Err(Failure::new("stuck", format!("a client has ended with {last:?}: {:?}", child.end()?))),
    }
}

/// The time on a clock that all processes of a machine share, in nanoseconds.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
