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

/// `kill` without its second half, and with it alone.
const KILL: &[&str] = &["kill", "--rounds", "600", "--calls", "0"];
const KILL_AT_CALLS: &[&str] = &["kill", "--rounds", "0", "--calls", "300"];

const SCHEDULE: &[&str] = &["schedule", "--rounds", "100000"];

const HOT: &[&str] = &["load", "--engine", "sled", "--shape", "hot", "--rounds", "30"];
const MANY: &[&str] = &["load", "--engine", "sled", "--shape", "many", "--rounds", "30"];
const SLOW: &[&str] = &["load", "--engine", "sled", "--shape", "slow", "--rounds", "30"];

const MYSQL: &[&str] = &["once", "--engine", "mysql"];
const POSTGRES: &[&str] = &["once", "--engine", "postgres"];
const REDIS: &[&str] = &["once", "--engine", "redis"];

const PLANTED: &[Planted] = &[
    Planted { bug: "AcknowledgeBeforeFlush", campaign: KILL, found_as: &["lost"] },
    Planted { bug: "AskForNothing", campaign: SCHEDULE, found_as: &["stuck"] },
    Planted { bug: "CountPartAsWhole", campaign: KILL, found_as: &["lost", "torn"] },
    Planted { bug: "FlushWithoutWaiting", campaign: KILL, found_as: &["lost"] },
    Planted { bug: "ForgetNewFolders", campaign: &["power", "--rounds", "300"], found_as: &["lost", "unopenable"] },
    Planted { bug: "ForgetOutputGate", campaign: KILL, found_as: &["lost"] },
    Planted { bug: "ForgetRoom", campaign: SCHEDULE, found_as: &["stuck"] },
    Planted { bug: "ForgetUndo", campaign: &["model", "--engine", "memory"], found_as: &["different"] },
    Planted { bug: "ForgetUndo", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "ForgetUndo", campaign: SCHEDULE, found_as: &["wrong"] },
    Planted { bug: "ForgetWatchers", campaign: SCHEDULE, found_as: &["stuck"] },
    Planted { bug: "ForgiveFailedSync", campaign: &["disk", "--rounds", "200"], found_as: &["lost", "unopenable"] },
    Planted { bug: "KeepConflicting", campaign: SCHEDULE, found_as: &["wrong"] },
    Planted { bug: "KeepRolledBack", campaign: &["model", "--engine", "memory"], found_as: &["different"] },
    Planted { bug: "KeepRolledBack", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "LeakTicket", campaign: HOT, found_as: &["stalled"] },
    Planted { bug: "LeaveBefore", campaign: &["model", "--engine", "memory"], found_as: &["different"] },
    Planted { bug: "LeaveBefore", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "MarkBeforeJournal", campaign: KILL_AT_CALLS, found_as: &["unopenable"] },
    Planted { bug: "NoCommitId", campaign: MYSQL, found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "NoCommitId", campaign: POSTGRES, found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "NoCommitId", campaign: REDIS, found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "NoRefusal", campaign: &["once", "--engine", "redis", "--rounds", "100"], found_as: &["doubled", "untrue"] },
    Planted { bug: "ReadStale", campaign: &["serializable", "--engine", "sled"], found_as: &["anomalies"] },
    Planted { bug: "RegisterTooLate", campaign: SCHEDULE, found_as: &["stuck"] },
    Planted { bug: "ReleaseTooEarly", campaign: &["power", "--rounds", "300"], found_as: &["unopenable"] },
    Planted { bug: "ReleaseTooEarly", campaign: KILL, found_as: &["lost", "torn", "unopenable"] },
    Planted { bug: "RenewUnderOldName", campaign: KILL, found_as: &["unopenable"] },
    Planted { bug: "ReplayTornEntry", campaign: &["power", "--rounds", "300", "--mix"], found_as: &["torn", "unopenable"] },
    Planted { bug: "ReplayTornEntry", campaign: KILL, found_as: &["torn", "unopenable", "unreadable"] },
    Planted { bug: "RetryUnknown", campaign: POSTGRES, found_as: &["doubled", "lost", "untrue"] },
    Planted { bug: "ReuseCommitId", campaign: POSTGRES, found_as: &["lost", "untrue"] },
    Planted { bug: "ReuseVersion", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "SkipJournalSync", campaign: &["power", "--rounds", "300"], found_as: &["lost", "unopenable"] },
    Planted { bug: "SkipMapSync", campaign: &["power", "--rounds", "300"], found_as: &["lost", "unopenable"] },
    Planted { bug: "SkipRangeValidation", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "SkipRangeValidation", campaign: SCHEDULE, found_as: &["wrong"] },
    Planted { bug: "SkipReadComparison", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "SkipValidation", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "SkipValidation", campaign: SCHEDULE, found_as: &["wrong"] },
    Planted { bug: "TellOnce", campaign: SCHEDULE, found_as: &["stuck"] },
    Planted { bug: "TrustFailedSync", campaign: &["disk", "--rounds", "200"], found_as: &["lost", "torn", "unopenable"] },
    Planted { bug: "TrustLength", campaign: &["bytes", "--only", "record"], found_as: &["oversized"] },
    Planted { bug: "UnboundedCache", campaign: MANY, found_as: &["grown"] },
    Planted { bug: "UncheckedIndex", campaign: &["bytes", "--only", "journal"], found_as: &["panics"] },
    Planted { bug: "UnknownIsCommitted", campaign: REDIS, found_as: &["lost"] },
    Planted { bug: "UnknownIsFailed", campaign: MYSQL, found_as: &["untrue"] },
    Planted { bug: "ValidateOnlyWrites", campaign: &["serializable", "--engine", "memory"], found_as: &["anomalies"] },
    Planted { bug: "ValidateOnlyWrites", campaign: SCHEDULE, found_as: &["wrong"] },
    Planted { bug: "WakeNobody", campaign: SCHEDULE, found_as: &["stuck"] },
    Planted { bug: "WakeNobody", campaign: SLOW, found_as: &["stalled"] },
    Planted { bug: "WatchTooLate", campaign: SCHEDULE, found_as: &["stuck"] },
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
    /// Whether the campaign finds the bug.
    fn find(&self) -> Result<bool> {
        let campaign = self.campaign.join(" ");
        let (code, said) = soak(self.campaign, self.bug)?;
        let last = said.lines().last().unwrap_or_default();
        let figures = last.split(' ').filter_map(|word| word.split_once('=')).filter(|(_, number)| *number != "0");
        let is_found = code == Some(1) && figures.map(|(figure, _)| figure).any(|figure| self.found_as.contains(&figure));
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
