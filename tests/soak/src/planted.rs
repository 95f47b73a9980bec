//! Bugs that are planted in metaparticle, and the campaign that has to find each: one that finds none says nothing about those that
//! nobody has planted.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::campaign::{Failure, Result};

/// A bug, and what must find it.
struct Planted {
    /// Its name in `metaparticle/src/planted.rs`.
    bug: &'static str,
    campaign: &'static [&'static str],
    /// The figures that may tell.
    found_as: &'static [&'static str],
}

const PLANTED: &[Planted] = &[
    Planted { bug: "AcknowledgeBeforeFlush", campaign: &["kill", "--rounds", "200"], found_as: &["lost"] },
    Planted {
        bug: "LeakTicket",
        campaign: &["load", "--engine", "sled", "--shape", "hot", "--rounds", "30"],
        found_as: &["stalled"],
    },
    Planted { bug: "NoCommitId", campaign: &["once", "--engine", "mysql"], found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "NoCommitId", campaign: &["once", "--engine", "postgres"], found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "NoCommitId", campaign: &["once", "--engine", "redis"], found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "NoRefusal", campaign: &["once", "--engine", "redis", "--rounds", "100"], found_as: &["doubled", "untrue"] },
    Planted { bug: "RetryUnknown", campaign: &["once", "--engine", "postgres"], found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "ReuseCommitId", campaign: &["once", "--engine", "postgres"], found_as: &["lost", "untrue"] },
    Planted {
        bug: "UnboundedCache",
        campaign: &["load", "--engine", "sled", "--shape", "many", "--rounds", "30"],
        found_as: &["grown"],
    },
    Planted { bug: "UnknownIsCommitted", campaign: &["once", "--engine", "redis"], found_as: &["lost"] },
    Planted { bug: "UnknownIsFailed", campaign: &["once", "--engine", "mysql"], found_as: &["untrue"] },
    Planted {
        bug: "WakeNobody",
        campaign: &["load", "--engine", "sled", "--shape", "slow", "--rounds", "30"],
        found_as: &["stalled"],
    },
];

/// Plants bugs in metaparticle, and sees whether the campaigns find them.
///
/// For that, everything is built again, into `target/planted`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these bugs.
    bugs: Vec<String>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    if let Some(unknown) = options.bugs.iter().find(|wanted| !PLANTED.iter().any(|planted| planted.bug == **wanted)) {
        println!("{unknown} is not a planted bug");
        return ExitCode::from(2);
    }
    let is_wanted = |planted: &&Planted| options.bugs.is_empty() || options.bugs.iter().any(|wanted| wanted == planted.bug);
    let (mut found, mut missed) = (0, 0);
    for planted in PLANTED.iter().filter(is_wanted) {
        match planted.find() {
            Ok(true) => found += 1,
            Ok(false) => missed += 1,
            Err(failure) => {
                println!("{failure}");
                return ExitCode::from(2);
            }
        }
    }
    println!("planted={} found={found} missed={missed}", found + missed);
    ExitCode::from(u8::from(missed > 0))
}

impl Planted {
    /// Whether the campaign finds the bug, and nothing without it.
    fn find(&self) -> Result<bool> {
        let campaign = self.campaign.join(" ");
        let (code, said) = soak(self.campaign, self.bug)?;
        let last = said.lines().last().unwrap_or_default();
        let is_told = |figure: &&str| last.split(' ').any(|word| word.strip_prefix(figure).is_some_and(|rest| rest == "=1"));
        let is_found = code == Some(1) && self.found_as.iter().any(is_told);
        println!("{} {} by {campaign}: {last}", self.bug, if is_found { "found" } else { "MISSED" });
        if code != Some(0) && !is_found {
            println!("{said}");
        }
        Ok(is_found)
    }
}

/// Runs this program, built so that bugs can be planted.
fn soak(arguments: &[&str], bug: &str) -> Result<(Option<i32>, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let output = Command::new("cargo")
        .current_dir(&root)
        .args(["run", "--release", "--quiet", "-p", env!("CARGO_PKG_NAME"), "--"])
        .args(arguments)
        .env("RUSTFLAGS", format!("{flags} --cfg metaparticle_planted"))
        .env("CARGO_TARGET_DIR", root.join("target/planted"))
        .env("METAPARTICLE_PLANTED", bug)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| Failure::not_run(format!("cargo cannot be run: {error}")))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
