//! The campaign `model`: random programs must see what they would see on plain maps.
//!
//! A program that does not is made as small as possible, and told with the seed that makes it again.

mod machine;
mod program;
mod reference;
mod types;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use self::machine::Place;
use self::program::Step;
use self::reference::Machine;
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::engine::Engine;

/// Seeds whose programs have found something once, one a line. They come first.
const SEEDS: &str = include_str!("model/seeds.txt");

/// How many steps a program has at most.
const STEPS: usize = 8;

/// Runs random programs beside the same ones on plain maps.
#[derive(Debug, clap::Args)]
pub(crate) struct Model {
    #[command(flatten)]
    settings: Settings,
}

impl Campaign for Model {
    const NAME: &'static str = "model";
    const ENGINES: &'static [Engine] = &[Engine::Memory, Engine::Sled, Engine::Fjall];
    const ROUNDS: u64 = 10_000;
    const WRONG: &'static [&'static str] = &["different"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        Place::set(run.engine)?;
        // What programs panic with is told in the end, and not for each that is tried to make one smaller.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let result = programs(run);
        std::panic::set_hook(hook);
        result
    }
}

fn programs(run: &mut Run) -> Result<()> {
    for seed in SEEDS.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok()) {
        program(run, seed)?;
        run.figures.add("kept_seeds", 1);
    }
    while let Some(round) = run.next_round() {
        let seed = run.seed.wrapping_add(round);
        program(run, seed)?;
    }
    run.figures.at_least("transactions", 2 * run.rounds())?;
    run.figures.at_least("reopened", run.rounds() / 20)
}

/// Runs one program; if it fails, smaller and smaller ones.
fn program(run: &mut Run, seed: u64) -> Result<()> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let steps = Cell::new((0, 0));
    let result = runner.run(&Machine::sequential_strategy(1..=STEPS), |(state, program, seen)| {
        let reopened = program.iter().filter(|step| matches!(step, Step::Reopen(_))).count();
        steps.set((program.len() - reopened, reopened));
        let ran = catch_unwind(AssertUnwindSafe(|| Machine::test_sequential(config.clone(), state, program, seen)));
        ran.map_err(|panic| TestCaseError::fail(message(&*panic)))
    });
    let (transactions, reopened) = steps.get();
    run.figures.add("transactions", transactions as u64);
    run.figures.add("reopened", reopened as u64);
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, (state, program, _))) => {
            let engine = run.engine;
            let command = format!("cargo run --release -p metaparticle-soak -- model --engine {engine} --rounds 1 --seed {seed}");
            let evolves = if state.evolves { ", whose types change" } else { "" };
            Err(Failure::new("different", format!("{reason}\nin the program{evolves}\n{program:#?}\nmade again by\n{command}")))
        }
        Err(TestError::Abort(reason)) => Err(Failure::not_run(format!("no program can be made: {reason}"))),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}
