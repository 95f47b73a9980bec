//! A password is in nothing that metaparticle or one of its drivers logs, at any level.
//!
//! A program of its own, because there is one logger for all of a process.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metaparticle::{Store, persistent};
use metaparticle_tests::servers::{is_there, shared};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

const SECRET: &str = "Zq9Kx7Wv";

#[persistent(default)]
struct Counter {
    n: u64,
}

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn no_password_is_logged() {
    let logged = Logged::default();
    // What is logged with the crate `log`, too.
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(logged.clone()).init();
    for engine in ["etcd", "mysql", "postgres", "redis"] {
        if !is_there(engine, "no_password_is_logged") {
            continue;
        }
        let url = shared(engine).expect("it is there").new_url();
        let store = Store::open(&url).expect("opens");
        let count = store.transaction(|tx| {
            tx.get_mut::<Counter>("a")?.n += 1;
            metaparticle::Ok(())
        });
        count.expect("counts");
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        // The servers of etcd and Redis take no password, and are sent one all the same.
        let wrong = Store::builder(format!("{scheme}://tests:{SECRET}@{host}")).timeout(Duration::from_secs(1)).open();
        assert!(wrong.is_err() || engine == "postgres", "{engine} takes a wrong password");
    }
    let bytes = logged.0.lock().expect("no panic");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.lines().count() > 10, "nothing was logged: {text}");
    for (number, line) in text.lines().enumerate() {
        let hex = "Zq9Kx7Wv".bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let numbers = format!("{:?}", SECRET.as_bytes());
        let shown = [SECRET, &hex, numbers.trim_matches(['[', ']']), "tests:secret", "\"secret\""];
        assert!(!shown.iter().any(|secret| line.contains(secret)), "line {number}: {line}");
    }
}
