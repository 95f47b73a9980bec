//! The campaign `kill`: a process that writes is killed, and what it was told to be durable must be there.

mod verifier;
mod writer;

use std::path::Path;
use std::time::Duration;

pub(crate) use self::verifier::Verifier;
pub(crate) use self::writer::Writer;
use crate::campaign::{Campaign, Failure, Result, Run, Settings};
use crate::child::Child;
use crate::engine::Engine;

/// Kills a process that writes, again and again, and looks at what it has left.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    settings: Settings,
}

impl Campaign for Kill {
    const NAME: &'static str = "kill";
    const ENGINES: &'static [Engine] = &[Engine::Sled, Engine::Fjall];
    const ROUNDS: u64 = 200;
    const WRONG: &'static [&'static str] = &["lost", "torn", "unopenable"];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn run(&self, run: &mut Run) -> Result<()> {
        let store = run.folder.join("store");
        let mut acknowledged = 0;
        while run.next_round().is_some() {
            let delay = Duration::from_millis(run.random.u64(..250));
            let next = write_and_kill(run, &store, delay)?.map_or(acknowledged, |last| last + 1);
            run.figures.add("acknowledged", next - acknowledged);
            acknowledged = verify(run, &store, next)?;
        }
        run.figures.at_least("acknowledged", run.rounds() * 5)
    }
}

/// Has a process write until it is killed; gives the last number that it acknowledged.
fn write_and_kill(run: &Run, store: &Path, delay: Duration) -> Result<Option<u64>> {
    let mut writer = Child::start(&["writer".to_owned(), run.engine.url_in(store)], &run.folder.join("writer.errors"))?;
    std::thread::sleep(delay);
    writer.kill()?;
    let lines = writer.rest()?;
    if let Some(code) = writer.wait()?.code() {
        return Err(Failure::new("unopenable", format!("the writer has ended by itself, with {code}")));
    }
    Ok(lines.last().and_then(|line| line.strip_prefix("ACK ")?.parse().ok()))
}

/// Has a process look at the store; gives the next number to be written.
fn verify(run: &Run, store: &Path, acknowledged: u64) -> Result<u64> {
    let arguments = ["verifier".to_owned(), run.engine.url_in(store), acknowledged.to_string()];
    let verifier = Child::start(&arguments, &run.folder.join("verifier.errors"))?;
    let line = verifier.line()?.unwrap_or_default();
    let next = line.strip_prefix("OK ").and_then(|next| next.parse().ok());
    next.ok_or_else(|| {
        let figure = ["lost", "unopenable"].into_iter().find(|figure| line.starts_with(&figure.to_uppercase())).unwrap_or("torn");
        Failure::new(figure, line)
    })
}
