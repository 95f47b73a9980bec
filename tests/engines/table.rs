//! The guide's table of what each engine promises, compared with what the engines say.

use std::time::Duration;

use metaparticle::Durability;
use metaparticle::conformance::{memory_engine, sled_engine};
use metaparticle::engine::{Answer, CommitId, Engine, Hint, KeyRange, RecordKey, Request, Seen, Stamp, Write};

use super::{fjall_engine, on_server};

const GUIDE: &str = include_str!("../../docs/guide/engines.md");

/// The cell of a row and a column, by what they begin with.
fn cell(row: &str, column: &str) -> &'static str {
    let is_row = |line: &&str, name: &str| line.trim_start_matches("| ").trim_start_matches('[').starts_with(name);
    let header = GUIDE.lines().find(|line| line.starts_with("| | sled")).expect("a table");
    let index = header.split('|').position(|name| name.trim().starts_with(column)).expect("a column");
    let row = GUIDE.lines().find(|line| line.starts_with('|') && is_row(line, row)).expect("a row");
    row.split('|').nth(index).expect("a cell").trim()
}

fn with_commas(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

fn size(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match bytes {
        usize::MAX => "any".to_owned(),
        _ if bytes < 1 << 20 => format!("{} KiB", bytes / 1024),
        _ if mib.fract() == 0.0 => format!("{mib} MiB"),
        _ => format!("{mib:.2} MiB"),
    }
}

fn agrees(engine: &dyn Engine, column: &str) {
    let limits = engine.limits();
    let key = if limits.key_bytes == usize::MAX { "any".to_owned() } else { format!("{} bytes", with_commas(limits.key_bytes)) };
    let commit = match limits.commit_bytes {
        usize::MAX => "any".to_owned(),
        bytes => format!("{}, {} objects", size(bytes), with_commas(limits.commit_records)),
    };
    let rows = [("encoded key", key), ("object", size(limits.record_bytes)), ("all changes of one transaction", commit)];
    for (row, limit) in rows {
        assert!(cell(row, column).starts_with(&limit), "{row}, {column}: {}, but the engine says {limit}", cell(row, column));
    }
    let range = KeyRange { start: RecordKey::new(*b"a"), end: RecordKey::new(*b"b") };
    let subscription = engine.subscribe(&[range]);
    let (told, check) = match cell("watching", column) {
        text if text.contains("looks every 5 seconds") => (true, Some(Duration::from_secs(5))),
        text if text.contains("looks 4 times a second") => (false, Some(Duration::from_millis(250))),
        text if text.starts_with("told at once") => (false, None),
        text => panic!("{column}: {text}"),
    };
    if told {
        // It is told once the server is heard.
        assert_eq!(pollster::block_on(subscription.next()), Hint::Missed);
    }
    assert_eq!(subscription.check(), check, "{column}");
    let write = [Write { key: RecordKey::new(*b"a"), bytes: None }];
    let (id, durability) = (CommitId(1), Durability::Eventual);
    let answer = engine.execute(Request { compare: Seen::NOTHING, read: &[], write: &write, id, durability });
    // What it has answered so early it may lose.
    let earlier = matches!(answer, Answer::Ready(Ok(reply)) if reply.durable_at > Stamp(0));
    assert_eq!(cell("`Durability::Eventual`", column).starts_with("returns earlier"), earlier, "{column}");
}

#[test]
fn every_row_has_a_cell_for_each_engine() {
    let cells = |line: &str| line.split('|').count();
    let table = GUIDE.lines().skip_while(|line| !line.starts_with("| | sled")).take_while(|line| line.starts_with('|'));
    let counts: Vec<usize> = table.map(cells).collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[test]
fn the_table_says_what_embedded_engines_say() {
    agrees(&*memory_engine(), "memory");
    let folder = metaparticle_tests::folder();
    agrees(&*sled_engine(&folder.path().join("store")).expect("a new store opens"), "sled");
    agrees(&*fjall_engine(&metaparticle_tests::folder()), "fjall");
}

#[test]
fn the_table_says_what_engines_on_servers_say() {
    for (name, column) in [("etcd", "etcd"), ("mysql", "MariaDB"), ("postgres", "PostgreSQL"), ("redis", "Redis")] {
        if let Some(engine) = on_server(name) {
            agrees(&*engine, column);
        }
    }
}
