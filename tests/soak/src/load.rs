//! The campaign `load`: many more threads and tasks than processors, and everybody is served, in bounded memory.

mod process;
mod shapes;
mod workers;

use std::time::{Duration, Instant};

use metaparticle::Store;
use metaparticle_tests::servers;
use tokio::runtime::Runtime;

use self::process::{Disk, Memory, Taken};
use self::shapes::Shape;
use self::workers::{Hall, TIMEOUT};
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::engine::Engine;

/// A round is so long.
const ROUND: Duration = Duration::from_secs(1);
/// Threads and tasks on each shape.
const WORKERS: [usize; 2] = [16, 48];
/// What the store may keep at hand: much less than there is.
const CACHE_BYTES: u64 = 8 << 20;
/// How much memory there may be at most, in KiB, but for what an engine in memory keeps: beside the cache, an engine in a folder has up
/// to 64 MiB of records that only the journal has, with the objects that were made of them, and what its library keeps.
const MEMORY: u64 = 400 << 10;
/// How many attempts there may be to each commit of a shape: with an engine in this process, and with one on a server, which takes
/// longer to say that an attempt was for nothing.
const ATTEMPTS: [u64; 2] = [2, 6];
/// What has ended may take so long to go.
const LEAVING: Duration = Duration::from_secs(20);

/// Has many more threads and tasks than there are processors work at once, and sees whether everybody is served, in bounded memory.
///
/// A round is one second.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    #[command(flatten)]
    settings: Settings,
    /// Only this shape, and not all at once; can be given several times.
    #[arg(long)]
    shape: Vec<Shape>,
}

impl Campaign for Load {
    const NAME: &'static str = "load";
    const ENGINES: &'static [Engine] =
        &[Engine::Sled, Engine::Fjall, Engine::Memory, Engine::Postgres, Engine::Redis, Engine::Mysql, Engine::Etcd];
    const ROUNDS: u64 = 30;
    const WRONG: &'static [&'static str] =
        &["stuck", "stalled", "starved", "wrong_sum", "torn", "grown", "too_many_attempts", "leaked", "unexpected", "panicked"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        self.shape.iter().flat_map(|shape| ["--shape".to_owned(), format!("{shape:?}").to_lowercase()]).collect()
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let shapes = if self.shape.is_empty() { &Shape::ALL[..] } else { &self.shape };
        let before = warm_up(run)?;
        let (store, runtime) = (open(&new_url(run, "store")?)?, runtime()?);
        // Together much more than is kept at hand; a server keeps nothing here.
        let items = if run.engine.is_server() { 5_000 } else { 100_000 };
        shapes::prepare(&store, shapes, items)?;
        let hall = Hall::open(shapes, WORKERS, items);
        hall.begin(&store, &runtime, &mut run.random)?;
        run.figures.add("workers", hall.workers.len() as u64);
        let (worked, memory) = watch(run, &hall);
        for shape in shapes {
            shape.tell(&hall, &mut run.figures);
        }
        memory.tell(&mut run.figures);
        worked?;
        hall.tally.compare(&store, items)?;
        let after = leave(runtime, store, before)?;
        run.figures.add("threads", after.threads);
        run.figures.add("files", after.files);
        // An engine in memory keeps everything in this process.
        memory.check(if run.engine == Engine::Memory { u64::MAX } else { MEMORY })?;
        for shape in shapes {
            let commits = hall.sum(*shape, |worker| &worker.commits);
            let attempts = hall.sum(*shape, |worker| &worker.attempts);
            if attempts > ATTEMPTS[usize::from(run.engine.is_server())] * commits {
                let what = format!("{shape:?} took {attempts} attempts for {commits} commits");
                return Err(Failure::new("too_many_attempts", what));
            }
        }
        run.figures.at_least("acknowledged", run.rounds() * 100)
    }
}

/// Has a few work for a moment, so that what is started once for the whole process is there; returns what is taken then.
fn warm_up(run: &mut Run) -> Result<Taken> {
    let (store, runtime) = (open(&new_url(run, "other")?)?, runtime()?);
    let shapes = [Shape::Hot, Shape::Slow];
    shapes::prepare(&store, &shapes, 0)?;
    let hall = Hall::open(&shapes, [2, 2], 0);
    hall.begin(&store, &runtime, &mut run.random)?;
    std::thread::sleep(ROUND);
    hall.close(LEAVING)?;
    runtime.shutdown_timeout(LEAVING);
    drop((hall, store));
    // What is ending takes a moment; who has not ended by then is there to stay.
    let mut taken = Taken::now()?;
    loop {
        std::thread::sleep(ROUND);
        let now = Taken::now()?;
        if now == taken {
            return Ok(now);
        }
        taken = now;
    }
}

/// Looks on until it is over, and everybody has ended what they have begun.
fn watch(run: &mut Run, hall: &Hall) -> (Result<()>, Memory) {
    let mut memory = Memory::default();
    let mut disk = Disk::default();
    let mut acknowledged = 0;
    let mut look = |run: &mut Run| {
        let commits: u64 = Shape::ALL.iter().map(|shape| hall.sum(*shape, |worker| &worker.commits)).sum();
        run.figures.add("acknowledged", commits - acknowledged);
        acknowledged = commits;
    };
    while run.next_round().is_some() {
        std::thread::sleep(ROUND);
        look(run);
        if let Err(failure) = memory.sample().and_then(|()| hall.watch(disk.sample(&run.folder)?)) {
            return (Err(failure), memory);
        }
    }
    let closed = hall.close(disk.longest());
    run.figures.add("disk_longest_ms", disk.longest().as_millis() as u64);
    look(run);
    (closed, memory)
}

/// Ends everything; returns what is taken once that is no more than `before`, or when it has had its time.
fn leave(runtime: Runtime, store: Store, before: Taken) -> Result<Taken> {
    runtime.shutdown_timeout(LEAVING);
    drop(store);
    let start = Instant::now();
    loop {
        let after = Taken::now()?;
        if after.is_no_more_than(before) {
            return Ok(after);
        }
        if start.elapsed() > LEAVING {
            return Err(Failure::new("leaked", format!("{before:?} before, and {after:?} afterwards")));
        }
        std::thread::sleep(ROUND / 10);
    }
}

fn new_url(run: &Run, name: &str) -> Result<String> {
    Ok(match run.engine {
        Engine::Memory => "memory:".to_owned(),
        Engine::Fjall | Engine::Sled => run.engine.url_in(&run.folder.join(name)),
        server => servers::shared(&server.to_string()).ok_or_else(|| Failure::not_run("the server is not there"))?.new_url(),
    })
}

fn open(url: &str) -> Result<Store> {
    Ok(Store::builder(url).timeout(TIMEOUT).cache_bytes(CACHE_BYTES).open()?)
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build()?)
}
