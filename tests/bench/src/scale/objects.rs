//! Stores of more and more objects. Each step is a process of its own, on the folder that the one before has left.

use std::path::Path;
use std::time::{Duration, Instant};

use metaparticle::{Durability, Store};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::Result;
use crate::accounts::{Total, fill, increment, look, read_all};
use crate::figures::{Figure, Figures};
use crate::files::{disk_bytes, leave_page_cache};
use crate::objects::{Account, encode};
use crate::process::{End, in_a_process};
use crate::rounds::Process;
use crate::usage::usage;
use crate::work::{Work, Workers, work};

/// Small beside the larger stores, so that memory which grows with them shows.
const CACHE: u64 = 16 << 20;

/// An end to the wait for being killed, should nobody be there any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// One process's part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    engine: Engine,
    objects: u32,
    what: What,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Fill,
    Read,
    /// Until the process is killed.
    Update,
    /// At least so many updates must be there.
    Reopen {
        updates: f64,
    },
}

pub(super) fn measure(engine: Engine, objects: u32, folder: &Path, length: Duration) -> Result<Figures> {
    let step = |what, end| in_a_process("step", &Step { engine, objects, what }, folder, length, end);
    let filled = step(What::Fill, End::Normal)?;
    let bytes = encode(&Account::new(0)).len() as f64 * f64::from(objects);
    let disk = disk_bytes(folder)? as f64 / bytes;
    let read = step(What::Read, End::Normal)?;
    let updated = step(What::Update, End::Killed)?;
    let updates = updated.get(Figure::Updates).ok_or("the step that updates has not told how much it did")?;
    let reopened = step(What::Reopen { updates }, End::Normal)?;
    Ok(filled.with(Figure::DiskPerByte, disk).and(read).and(updated).and(reopened))
}

impl Step {
    /// Takes it, and tells its figures.
    pub(crate) fn run(&self, process: &Process, tell: impl Fn(&Figures) -> Result<()>) -> Result<()> {
        let note = match self.what {
            What::Fill => None,
            _ => leave_page_cache(&process.folder).err().map(|error| format!("not out of the page cache: {error}")),
        };
        let tell = |figures: Figures| tell(&figures.with(Figure::PeakMib, usage().peak_mib()).noted(note));
        let start = Instant::now();
        let url = self.engine.url(&process.folder);
        let store = Store::builder(url).durability(Durability::Eventual).cache_bytes(CACHE).open()?;
        let open_ms = start.elapsed().as_secs_f64() * 1e3;
        match self.what {
            What::Fill => {
                let start = Instant::now();
                fill(&store, self.objects)?;
                tell(Figures::default().with(Figure::FillPerSecond, f64::from(self.objects) / start.elapsed().as_secs_f64()))
            }
            What::Read => tell(self.read(&store, process.seconds)?.with(Figure::OpenMs, open_ms)),
            What::Update => {
                tell(self.update(&store, process.seconds)?)?;
                self.updates(&store, PATIENCE)?;
                Err("it should have been killed".into())
            }
            What::Reopen { updates } => {
                let found = read_all(&store, self.objects)?;
                // More were under way when the process was killed.
                let lost = self.missing(found) + (updates - found.sum as f64).max(0.0);
                tell(Figures::default().with(Figure::OpenAfterKillMs, open_ms).with(Figure::Lost, lost))
            }
        }
    }

    fn read(&self, store: &Store, length: Duration) -> Result<Figures> {
        let reads = || self.work(store, length, |number| look(number).map(drop));
        let cold = reads()?;
        let found = read_all(store, self.objects)?;
        let warm = reads()?;
        Ok(Figures::default()
            .with(Figure::ColdReadsPerSecond, cold.per_second())
            .with(Figure::WarmReadsPerSecond, warm.per_second())
            .with(Figure::Lost, self.missing(found) + found.sum.abs() as f64))
    }

    fn update(&self, store: &Store, length: Duration) -> Result<Figures> {
        let cold = self.updates(store, length)?;
        let found = read_all(store, self.objects)?;
        let warm = self.updates(store, length)?;
        store.flush()?;
        Ok(Figures::default()
            .with(Figure::ColdUpdatesPerSecond, cold.per_second())
            .with(Figure::WarmUpdatesPerSecond, warm.per_second())
            .with(Figure::Updates, (cold.done + warm.done) as f64)
            .with(Figure::Lost, self.missing(found) + (cold.done as f64 - found.sum as f64).abs()))
    }

    fn updates(&self, store: &Store, length: Duration) -> Result<Work> {
        self.work(store, length, increment)
    }

    fn work(&self, store: &Store, length: Duration, f: impl Fn(u32) -> metaparticle::Result<()> + Sync) -> Result<Work> {
        let workers = Workers { threads: 1, length, with_latencies: false };
        work(workers, |work| store.run(work), |random| Ok(f(random.u32(..self.objects)).map(|()| 0)?))
    }

    fn missing(&self, found: Total) -> f64 {
        f64::from(self.objects.abs_diff(found.count))
    }
}
