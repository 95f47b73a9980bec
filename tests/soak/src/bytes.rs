//! The campaign `bytes`: everything that reads bytes which others may have written, is given hostile ones.
//!
//! The targets are in `fuzz/`, built once, and then run here, as many at a time as there are processors.

mod target;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use self::target::{Amount, Ended, Target};
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::engine::Engine;

/// What is built, in the order in which it is run.
const TARGETS: [&str; 12] =
    ["record", "schema", "key", "journal", "store", "redis", "mysql", "etcd", "url", "postgres", "export", "schema_file"];

/// An input takes less than a millisecond, but for those that need files.
const LEAST_A_SECOND: u64 = 50;

/// Gives hostile bytes to everything that reads bytes of others. A round is all targets.
#[derive(Debug, clap::Args)]
pub(crate) struct Bytes {
    #[command(flatten)]
    settings: Settings,
    /// For how many seconds each target is run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many inputs each target is given, instead.
    #[arg(long, conflicts_with = "seconds")]
    inputs: Option<u64>,
    /// Only this target; may be given several times.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    only: Vec<String>,
}

impl Campaign for Bytes {
    const NAME: &'static str = "bytes";
    /// It is one for all: a store's files, and the answers of each server.
    const ENGINES: &'static [Engine] = &[Engine::Sled];
    const ROUNDS: u64 = 1;
    const WRONG: &'static [&'static str] = &["panics", "oversized", "stuck"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn options(&self) -> Vec<String> {
        let amount = match self.inputs {
            Some(inputs) => ["--inputs".to_owned(), inputs.to_string()],
            None => ["--seconds".to_owned(), self.seconds.to_string()],
        };
        amount.into_iter().chain(self.only.iter().flat_map(|name| ["--only".to_owned(), name.clone()])).collect()
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let names: Vec<&str> =
            TARGETS.into_iter().filter(|name| self.only.is_empty() || self.only.iter().any(|only| only == name)).collect();
        let programs = build(&names)?;
        // Where files are quick, if there is such a place: what is on them does not matter.
        let scratch = ["/dev/shm", "/tmp"].into_iter().find(|path| Path::new(path).is_dir()).unwrap_or(".");
        let scratch = tempfile::Builder::new().prefix("soak-bytes-").tempdir_in(scratch)?;
        while run.next_round().is_some() {
            let amount = self.inputs.map_or(Amount::Seconds(self.seconds), Amount::Inputs);
            let target = |name: &&'static str| Target {
                name,
                program: programs.join(name),
                seeds: package().join("seeds").join(name),
                // What was found before is where the next run begins.
                corpus: root().join("target/fuzz-corpus").join(name),
                findings: run.folder.join(name),
                scratch: scratch.path().to_owned(),
                seed: run.random.u32(1..),
                amount,
            };
            let mut failure = None;
            for (name, ended) in all(names.iter().map(target).collect()) {
                let Ended { inputs, found } = ended?;
                run.figures.add("inputs", inputs);
                println!("{name}: {inputs} inputs");
                failure = failure.or(found);
                if let (Amount::Seconds(seconds), None) = (amount, &failure)
                    && inputs < seconds * LEAST_A_SECOND
                {
                    return Err(Failure::new("too_little", format!("{name} was given {inputs} inputs in {seconds} seconds")));
                }
            }
            failure.map_or(Ok(()), Err)?;
        }
        run.figures.at_least("inputs", 1)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The package of the targets.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Builds the targets; gives the folder where they are.
fn build(names: &[&str]) -> Result<PathBuf> {
    let cannot = |error| Failure::not_run(format!("the targets cannot be built: {error}"));
    let folder = root().join(if cfg!(metaparticle_planted) { "target/fuzz-planted" } else { "target/fuzz" });
    let version = Command::new("rustc").arg("-vV").output().map_err(cannot)?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::not_run("rustc does not say what it builds for"))?;
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut build = Command::new("cargo");
    // With a machine named, what runs while it is built (macros, build scripts) is built without these flags. The wrapper adds those that
    // are not for all.
    build.args(["build", "--release", "--quiet", "--target", host, "--target-dir"]).arg(&folder);
    build.args(names.iter().flat_map(|name| ["--bin", name]));
    build.current_dir(package()).env_remove("CARGO_TARGET_DIR");
    build
        .env("RUSTFLAGS", format!("{given} --cfg fuzzing -Cdebug-assertions").trim())
        .env("RUSTC_WRAPPER", package().join("rustc"));
    if !build.status().map_err(cannot)?.success() {
        return Err(Failure::not_run("the targets cannot be built"));
    }
    Ok(folder.join(host).join("release"))
}

/// Runs all targets, on as many threads as there are processors.
fn all(targets: Vec<Target>) -> Vec<(&'static str, Result<Ended>)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (waiting, ended) = (Mutex::new(targets.into_iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().map_or(None, |mut waiting| waiting.next());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let name = target.name;
                    let result = target.run();
                    if let Ok(mut ended) = ended.lock() {
                        ended.push((name, result));
                    }
                }
            });
        }
    });
    ended.into_inner().unwrap_or_default()
}
