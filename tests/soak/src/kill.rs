//! The campaign `kill`: a process that writes is killed, and what it has left must be as it was told.
//!
//! First, in rounds, at random moments; stores are used again in the next round, so that they age. Then at each of the first system
//! calls: of a process that makes a new store and writes, and of one that opens what that has left and writes on. The process that
//! looks at a store is killed in between, too, as it recovers or writes.

mod site;

use std::time::Duration;

use self::site::Site;
use crate::campaign::{Campaign, Result, Run, Settings};
use crate::child::{Call, Kind};
use crate::crash::{self, Mode};
use crate::engine::Engine;

/// Kills a process that writes, again and again, and looks at what it has left.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    calls: Calls,
    /// How many threads write.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// When transactions return, instead of one time so, another time so.
    #[arg(long)]
    mode: Option<Mode>,
}

/// A store is used for so many rounds, on average.
const AGE: u64 = 16;

impl Campaign for Kill {
    const NAME: &'static str = "kill";
    const ENGINES: &'static [Engine] = &[Engine::Sled, Engine::Fjall];
    const ROUNDS: u64 = 200;
    const WRONG: &'static [&'static str] = crash::WRONG;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        let numbers = [("calls", self.calls.calls), ("first-call", self.calls.first_call), ("threads", self.threads)];
        let mut options: Vec<String> = numbers.map(|(name, number)| format!("--{name} {number}")).into();
        options.extend(self.mode.map(|mode| format!("--mode {mode}")));
        options
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let seed = run.random.u64(..);
        let mut site = Site::new(run, self.threads)?;
        while let Some(round) = run.next_round() {
            if round > 0 && run.random.u64(..AGE) == 0 {
                site.begin_anew(run)?;
            }
            self.round(&mut site, run)?;
        }
        self.kill_at_calls(&mut site, run, seed)?;
        let (rounds, calls) = (run.rounds(), self.calls.count());
        // One in so many rounds, by far. A few rounds show nothing of what is rare.
        let rare = if rounds < 100 { 0 } else { rounds };
        // What a system call does is told from the registers, and those are known of one processor.
        let told = if cfg!(target_arch = "x86_64") { rare + calls } else { 0 };
        let eventual = if self.mode == Some(Mode::Immediate) { 0 } else { rare };
        let least = [
            ("acknowledged", 4 * (rounds + calls) + 16 * rare),
            ("stores", rare / 40 + calls),
            ("killed_opening", rare / 20 + calls.min(20)),
            ("killed_verifying", rare / 10 + calls / 10),
            ("eventual_gone", eventual / 10),
            ("unknown", rare / 10),
            ("killed_at_call", rare / 20 + calls),
            ("killed_renaming", told / 40),
            ("killed_writing", told / 20),
        ];
        least.into_iter().try_for_each(|(figure, least)| run.figures.at_least(figure, least))
    }
}

impl Kill {
    fn mode(&self, random: &mut fastrand::Rng) -> Mode {
        let any = [Mode::Immediate, Mode::Eventual, Mode::Mixed];
        self.mode.or_else(|| random.choice(any)).unwrap_or(Mode::Immediate)
    }

    fn round(&self, site: &mut Site, run: &mut Run) -> Result<()> {
        let mode = self.mode(&mut run.random);
        let moment = Moment::any(&mut run.random);
        site.write(run, mode, moment)?;
        while run.random.u8(..3) == 0 {
            let delay = Duration::from_micros(run.random.u64(..60_000));
            site.verify_for(run, delay)?;
        }
        site.verify(run)
    }

    /// Kills a process at each of its first system calls, and one that opens what it has left at an earlier one.
    fn kill_at_calls(&self, site: &mut Site, run: &mut Run, seed: u64) -> Result<()> {
        run.begin_bar(self.calls.count());
        for number in self.calls.numbers() {
            // For itself, so that one number can be repeated alone.
            let mut random = fastrand::Rng::with_seed(seed ^ number);
            let mut earlier = || {
                let number = random.u64(1..=number);
                any_kind(random.u64(1..=number), &mut random)
            };
            let (second, third) = (earlier(), earlier());
            site.begin_anew(run)?;
            run.figures.add("calls", 1);
            site.write(run, self.mode(&mut random), Moment::Call(Call { number, kind: Kind::Any }))?;
            site.write(run, self.mode(&mut random), Moment::Call(second))?;
            site.verify_up_to(run, third)?;
            site.verify(run)?;
            run.advance_bar();
        }
        Ok(())
    }
}

/// Which system calls there is a kill at.
#[derive(Debug, clap::Args)]
struct Calls {
    /// Kills a process at each of its first so many system calls.
    #[arg(long, default_value_t = 300)]
    calls: u64,
    /// Begins with this one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    first_call: u64,
}

impl Calls {
    fn numbers(&self) -> std::ops::RangeInclusive<u64> {
        self.first_call..=self.calls
    }

    fn count(&self) -> u64 {
        (self.calls + 1).saturating_sub(self.first_call)
    }
}

/// When a process that writes is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after its start: most likely while it opens the store.
    Early(Duration),
    /// So long after it has said so many lines.
    Later(usize, Duration),
    /// At a system call.
    Call(Call),
}

impl Moment {
    fn any(random: &mut fastrand::Rng) -> Self {
        let delay = Duration::from_micros(random.u64(..2_000));
        match random.u8(..16) {
            0..3 => Self::Early(Duration::from_micros(random.u64(..40_000))),
            3..8 => Self::Call(any_kind(power(random, 13), random)),
            // Long enough for the journal to use its segments again.
            8 => Self::Later(random.usize(2_000..6_000), delay),
            _ => Self::Later(power(random, 9) as usize, delay),
        }
    }
}

/// A kill at a system call with this number, or soon after.
fn any_kind(number: u64, random: &mut fastrand::Rng) -> Call {
    let kind = match random.u8(..4) {
        0 => Kind::Any,
        1 => Kind::Renaming,
        _ => Kind::Writing(random.f64()),
    };
    Call { number, kind }
}

/// A number below a power of two, small ones more often.
fn power(random: &mut fastrand::Rng, most: u32) -> u64 {
    let bound = 1 << random.u32(1..=most);
    random.u64(1..bound)
}
