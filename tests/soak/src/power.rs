//! The campaign `power`: the power is cut while a process writes, and what it was told to be durable must be there.
//!
//! A shim notes what the process does to its files. At a cut, what was not synced is dropped, or kept and dropped at random, block
//! by block; names that were not synced are undone, or some of them. With `--machine`, the cut is a real one: a machine with a file
//! system of its own is killed.

mod machine;
mod site;

use std::time::Duration;

use self::machine::FileSystem;
use self::site::Site;
use crate::campaign::{Campaign, Result, Run, Settings};
use crate::crash::{self, Mode};
use crate::engine::Engine;

/// Cuts the power of a process that writes, again and again, and looks at what is left.
#[derive(Debug, clap::Args)]
pub(crate) struct Power {
    #[command(flatten)]
    settings: Settings,
    /// In every round, and not in every other one, some blocks that are not synced are kept.
    #[arg(long, conflicts_with = "machine")]
    mix: bool,
    /// Kills a machine with this file system, instead of cutting the power of a process.
    #[arg(long)]
    machine: Option<FileSystem>,
    /// How many threads write.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// When transactions return, instead of one time so, another time so.
    #[arg(long)]
    mode: Option<Mode>,
}

/// A store is used for so many rounds, on average.
const AGE: u64 = 5;

/// When the power is cut.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before this call of the process on its files, from 1.
    Call(u64),
    After(Duration),
}

impl Moment {
    /// As often among the first ten calls as among the hundreds or thousands.
    fn any(random: &mut fastrand::Rng) -> Self {
        if random.bool() {
            Self::After(Duration::from_micros(random.u64(..400_000)))
        } else {
            Self::Call(10_f64.powf(random.f64() * 3.3) as u64)
        }
    }

    /// One at which a process looks at a store, or recovers it.
    fn early(random: &mut fastrand::Rng) -> Self {
        Self::Call(10_f64.powf(random.f64() * 2.3) as u64)
    }
}

impl Campaign for Power {
    const NAME: &'static str = "power";
    const ENGINES: &'static [Engine] = &[Engine::Sled, Engine::Fjall];
    const ROUNDS: u64 = 300;
    const WRONG: &'static [&'static str] = crash::WRONG;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![format!("--threads {}", self.threads)];
        options.extend(self.mix.then(|| "--mix".to_owned()));
        options.extend(self.machine.map(|system| format!("--machine {system}")));
        options.extend(self.mode.map(|mode| format!("--mode {mode}")));
        options
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        if let Some(system) = self.machine {
            return machine::run(self, system, run);
        }
        let mut site = Site::new(run, self.threads)?;
        while let Some(round) = run.next_round() {
            if round > 0 && run.random.u64(..AGE) == 0 {
                site.begin_anew(run)?;
            }
            self.round(&mut site, run)?;
        }
        let rounds = run.rounds();
        // One in so many rounds, by far. A few rounds show nothing of what is rare.
        let rare = if rounds < 100 { 0 } else { rounds };
        let least = [
            ("acknowledged", 20 * rounds),
            ("cuts", rounds),
            ("blocks_dropped", 2 * rare),
            ("mixed", rare / 50),
            ("names_undone", rare / 20),
            ("cut_opening", rare / 20),
            ("cut_verifying", rare / 10),
            ("eventual_gone", rare / 10),
        ];
        least.into_iter().try_for_each(|(figure, least)| run.figures.at_least(figure, least))
    }
}

impl Power {
    fn round(&self, site: &mut Site, run: &mut Run) -> Result<()> {
        let (mode, moment) = (self.mode(&mut run.random), Moment::any(&mut run.random));
        site.write(run, mode, moment)?;
        // As if the process alone had been killed: the next one sees what is not synced.
        if run.random.u8(..4) > 0 {
            self.cut(site, run)?;
        }
        while run.random.u8(..3) == 0 {
            site.verify_up_to(run)?;
            if run.random.bool() {
                self.cut(site, run)?;
            }
        }
        self.cut(site, run)?;
        site.verify(run)
    }

    fn mode(&self, random: &mut fastrand::Rng) -> Mode {
        let any = [Mode::Immediate, Mode::Eventual, Mode::Mixed];
        self.mode.or_else(|| random.choice(any)).unwrap_or(Mode::Immediate)
    }

    fn cut(&self, site: &mut Site, run: &mut Run) -> Result<()> {
        let mixes = self.mix || run.random.bool();
        site.cut(mixes, run)
    }
}
