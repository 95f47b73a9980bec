//! Visits instances of the service as fast as they answer, and then compares: is every visit that was answered counted?
//!
//! `cargo run -p metaparticle-web --bin load -- --visits 10000 http://127.0.0.1:8081 http://127.0.0.1:8082`

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde_json::Value;
use ureq::Agent;

/// How long to look for an instance that can be reached.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends visits through many connections, and compares what was answered with what was counted.
#[derive(Debug, Parser)]
#[command(name = "load", version, about, max_term_width = 120)]
struct Args {
    /// How many visits.
    #[arg(long, default_value_t = 10_000)]
    visits: u64,
    /// Through how many connections, each to all instances in turn.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// The user who visits; one who has not been there before, unless said otherwise. Nobody else may visit in that name.
    #[arg(long)]
    user: Option<String>,
    /// The instances.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
}

/// What became of visits.
#[derive(Default)]
struct Outcome {
    /// Those that were answered with 200, by how long it took.
    answered: Vec<Duration>,
    /// Those of which it is not known whether they were counted: another answer, or none.
    unknown: u64,
    /// Why, of one of them.
    why: Option<String>,
}

fn main() -> ExitCode {
    match load(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

/// Tells whether the count is as it must be.
fn load(args: &Args) -> Result<bool, Box<dyn Error>> {
    let user = args.user.clone().unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        format!("load-{}-{since}", std::process::id())
    });
    let urls: Vec<String> = args.urls.iter().map(|url| format!("{}/visits/{user}", url.trim_end_matches('/'))).collect();
    let before = count(&urls)?;
    let (next, start) = (AtomicU64::new(0), Instant::now());
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let connection = || scope.spawn(|| visit_in_turn(&urls, &next, args.visits));
        let connections: Vec<_> = (0..args.connections).map(|_| connection()).collect();
        connections.into_iter().map(|connection| connection.join().expect("a connection does not panic")).collect()
    });
    let took = start.elapsed();
    let counted = count(&urls)?.saturating_sub(before);

    let mut times: Vec<Duration> = outcomes.iter().flat_map(|outcome| outcome.answered.iter().copied()).collect();
    times.sort_unstable();
    let (answered, unknown) = (times.len() as u64, outcomes.iter().map(|outcome| outcome.unknown).sum::<u64>());
    let visits = args.visits;
    println!("{visits} visits by {user} through {} connections to {} instances", args.connections, urls.len());
    println!("in {took:.1?}: {:.0} a second", answered as f64 / took.as_secs_f64());
    if let (Some(half), Some(most)) = (times.get(times.len() / 2), times.get(times.len() * 99 / 100)) {
        println!("half of them within {half:.1?}, 99 of 100 within {most:.1?}");
    }
    if let Some(why) = outcomes.iter().find_map(|outcome| outcome.why.as_ref()) {
        println!("unknown, for example: {why}");
    }
    println!("answered {answered}, unknown {unknown}, counted {counted}");
    let never_sent = visits - answered - unknown;
    if never_sent > 0 {
        println!("{never_sent} were never sent: no instance could be reached");
    }
    let sound = (answered..=answered + unknown).contains(&counted);
    println!("{}", if sound { "not one visit is lost" } else { "THE COUNT IS WRONG" });
    Ok(sound && never_sent == 0)
}

/// A client that tells every answer as it is, and never repeats a request by itself.
fn client() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(1)))
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// One connection's share of the visits.
fn visit_in_turn(urls: &[String], next: &AtomicU64, visits: u64) -> Outcome {
    let (client, mut outcome) = (client(), Outcome::default());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= visits {
            return outcome;
        }
        let start = Instant::now();
        // An instance that cannot be reached was not asked: another one is.
        for url in urls.iter().cycle().skip(number as usize % urls.len()) {
            match client.post(url).send_empty() {
                Err(error) if was_not_sent(&error) && start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
                Err(error) if was_not_sent(&error) => return outcome,
                answer => {
                    note(answer, start.elapsed(), &mut outcome);
                    break;
                }
            }
        }
    }
}

fn was_not_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        ureq::Error::Timeout(when) => matches!(when, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        _ => false,
    }
}

fn note(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, took: Duration, outcome: &mut Outcome) {
    // Read to its end, so that the connection serves the next one.
    let answer = answer.and_then(|mut answer| Ok((answer.status(), answer.body_mut().read_to_string()?)));
    match answer {
        Ok((status, _)) if status == 200 => outcome.answered.push(took),
        Ok((status, body)) => {
            outcome.unknown += 1;
            outcome.why = Some(format!("{status}, {body}"));
        }
        Err(error) => {
            outcome.unknown += 1;
            outcome.why = Some(error.to_string());
        }
    }
}

/// How often the user has been there, as the first instance says that can be reached.
fn count(urls: &[String]) -> Result<u64, Box<dyn Error>> {
    let mut trouble = "no URL".to_owned();
    for url in urls {
        match client().get(url).call().and_then(|mut answer| answer.body_mut().read_json::<Value>()) {
            Ok(body) => match body["count"].as_u64() {
                Some(count) => return Ok(count),
                None => trouble = format!("{url}: {body}"),
            },
            Err(error) => trouble = format!("{url}: {error}"),
        }
    }
    Err(trouble.into())
}
