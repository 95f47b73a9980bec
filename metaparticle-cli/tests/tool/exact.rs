//! Export and import give back every byte.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::support::{beside, command, done, fails, filled, put, records, run, text};

/// Exports `path`, imports it into a new store, and exports that.
fn round_trip(path: &str, code: i32) -> String {
    let (file, new) = (beside(path, "lines"), beside(path, "new"));
    let exported = run(&["--store", path, "export"]);
    assert_eq!(exported.status.code(), Some(code), "{}", text(&exported.stderr));
    fs::write(&file, &exported.stdout).expect("writes");
    done(&["--store", &new, "import", &file]);
    assert_eq!(records(path), records(&new));
    let again = run(&["--store", &new, "export"]);
    assert!(again.stdout == exported.stdout, "the second export differs");
    text(&exported.stdout)
}

#[test]
fn every_value_and_key_comes_back_byte_for_byte() {
    let (_folder, path) = filled();
    let lines = round_trip(&path, 0);
    // Nothing had to be written as bytes that has a better form.
    assert!(!lines.contains("\"record\":"), "{lines}");
    assert!(!lines.contains("\"record_key\":"), "{lines}");
    for part in [
        "\"huge\":[-170141183460469231731687303715884105728,340282366920938463463374607431768211455]",
        "\"floats\":[0.0,\"-0.0\",1.0,0.1,",
        "\"NaN\",\"NaN(fff8000000000000)\",\"inf\",\"-inf\",\"NaN(7ff0000000000123)\"]",
        "\"nested\":[null,{\"some\":null},{\"some\":3}]",
        "\"unit_option\":[null,{\"some\":null}]",
        "\"forms\":[\"Point\",{\"Circle\":\"-0.0\"},{\"Line\":[-1,2]},{\"Text\":{\"content\":\"\",\"size\":9}},",
        "\"secret\":{\"opaque\":\"fbe80305\"}",
        "\"by_number\":[[-5,[1,2]],[5,[]]]",
        "{\"type\":\"line\",\"key\":[\"ab\",2],\"schema\":0,\"fields\":{\"n\":1}}",
        "{\"type\":\"Settings\",\"schema\":0,\"fields\":{\"theme\":\"dark\"}}",
        "\"key\":\"00000000-0000-0000-0000-00000000004d\"",
    ] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
}

#[test]
fn damaged_and_unknown_records_come_back_byte_for_byte_too() {
    let (_folder, path) = filled();
    let account = records(&path)[&b"\x02Account\0\x02ann\0"[..]].clone();
    // A number that is written in more bytes than it needs, which no program does: 3 as a u16.
    let long = b"\x01\0\0\0\0\x02\0\x03\0\0\0\x04\0\0\0\xfb\x06\0\0".as_slice();
    put(
        &path,
        &[
            (b"\x02Account\0\x02long\0", Some(long)),
            (b"\x02Account\0\x02cut\0", Some(&account[..5])),
            (b"\x02Account\0\x15\x05", Some(&account)),
            (b"\x02NoSchema\0", Some(&account)),
            (b"\x01schema\0\x02Damaged\0", Some(b"\x01\xff")),
            (b"\x01other\0", Some(b"anything")),
        ],
    );
    round_trip(&path, 1);
}

#[test]
fn some_types_are_exported_alone() {
    let (_folder, path) = filled();
    let lines = done(&["--store", &path, "export", "line", "Settings"]);
    assert_eq!(lines.lines().count(), 2 + 6 + 1);
    assert!(lines.starts_with("{\"type\":\"line\",\"key_type\":\"(text, u64)\""), "{lines}");
}

#[test]
fn an_import_is_repeatable_and_replaces_only_with_yes() {
    let (_folder, path) = filled();
    let file = beside(&path, "lines");
    fs::write(&file, done(&["--store", &path, "export"])).expect("writes");
    assert!(done(&["--store", &path, "import", &file]).starts_with("0 new, 0 replaced,"));
    done(&["--store", &path, "set", "Account", "ann", "balance=1000"]);
    let error = fails(2, &["--store", &path, "import", &file]);
    assert!(error.contains("--yes"), "{error}");
    assert!(done(&["--store", &path, "get", "Account", "ann", "--json"]).contains("1000"));
    assert!(done(&["--store", &path, "import", "--yes", &file]).contains("1 replaced"));
    assert!(!done(&["--store", &path, "get", "Account", "ann", "--json"]).contains("1000"));
}

#[test]
fn a_wrong_line_is_named_and_those_before_it_stay() {
    let (_folder, path) = filled();
    let account = "{\"type\":\"Account\",\"key\":\"new\",\"schema\":0,\"fields\":{\"balance\":1,\"owner\":\"x\"}}";
    let types = done(&["--store", &path, "export", "Account"]).lines().next().expect("a line").to_owned();
    let owner = "x".repeat(1 << 20);
    let large = format!("{{\"type\":\"Account\",\"key\":\"a\",\"schema\":0,\"fields\":{{\"balance\":1,\"owner\":\"{owner}\"}}}}");
    for (number, (wrong, message)) in [
        (&*large, "line 3: the record"),
        ("nonsense", "line 3: it is not JSON"),
        ("[]", "line 3: it is not a JSON object"),
        ("{\"type\":\"Other\",\"key\":\"a\"}", "line 3: no line before it has the schemas of Other"),
        ("{\"type\":\"Account\",\"key\":5,\"schema\":0}", "keys of Account are of type text"),
        ("{\"type\":\"Account\",\"key\":\"a\",\"schema\":9,\"fields\":{}}", "Account has no schema 9"),
        ("{\"type\":\"Account\",\"key\":\"a\",\"schema\":0,\"fields\":{\"balance\":1}}", "the field `owner` is missing"),
        ("{\"type\":\"Account\",\"key\":\"a\",\"schema\":0,\"fields\":{\"balance\":1,\"owner\":2}}", "the field `owner` is text"),
        ("{\"type\":\"Account\",\"schema_record\":\"01\"}", "line 3: the schema of Account"),
        ("{\"record_key\":\"0\",\"record\":\"\"}", "line 3: \"record_key\""),
    ]
    .into_iter()
    .enumerate()
    {
        let new = beside(&path, &format!("wrong-{number}"));
        let mut child = command(&["--store", &new, "import"]);
        let mut child = child.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let input = format!("{types}\n{account}\n{wrong}\n");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("writes");
        let output = child.wait_with_output().expect("ends");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {error}");
        assert!(error.contains(message) && error.contains("1 new"), "{wrong}: {error}");
        assert!(done(&["--store", &new, "get", "Account", "new"]).contains('x'), "{wrong}: the line before it is not there");
    }
}

#[test]
fn schemas_that_do_not_agree_are_not_mixed() {
    let (_folder, path) = filled();
    let lines = done(&["--store", &path, "export", "line"]).replace("\"line\"", "\"Account\"");
    let file = beside(&path, "lines");
    fs::write(&file, lines).expect("writes");
    let before = records(&path);
    let error = fails(2, &["--store", &path, "import", "--yes", &file]);
    assert!(error.contains("line 1: ") && error.contains("Account with other schemas"), "{error}");
    assert_eq!(records(&path), before);
}

/// The long version: `OBJECTS=1000000 cargo test --release -p metaparticle-cli --test tool -- many_objects --nocapture`.
#[test]
fn many_objects_come_back_in_constant_memory() {
    let objects: u64 = std::env::var("OBJECTS").map_or(20_000, |objects| objects.parse().expect("a number"));
    let (_folder, path) = filled();
    let store = metaparticle::Store::builder(&path).durability(metaparticle::Durability::Eventual).open().expect("opens");
    for start in (0..objects).step_by(1_000) {
        let insert = |tx: &metaparticle::Tx| {
            (start..objects.min(start + 1_000)).try_for_each(|n| {
                tx.insert(format!("{n:09}"), super::support::Account { balance: n as i64, owner: format!("owner {n}") })
            })
        };
        store.transaction(insert).expect("inserts");
    }
    drop(store);
    let (lines, again, new) = (beside(&path, "lines"), beside(&path, "again"), beside(&path, "new"));
    let to = |file: &str| Stdio::from(fs::File::create(file).expect("a file"));
    let measured = |what: &str, arguments: &[&str], output: Stdio| {
        let start = std::time::Instant::now();
        let mut child = command(arguments).stdout(output).spawn().expect("starts");
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_memory(child.id()));
            if let Some(status) = child.try_wait().expect("waits") {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert!(status.success(), "{what}");
        eprintln!("{what}: {:.1} s, at most {peak} KiB", start.elapsed().as_secs_f64());
        // Ours is a page of records. The rest is sled's: a cache, and from its opening on about 40 bytes for each object.
        assert!(peak < (140 << 10) + 2 * objects / 20, "{what} took {peak} KiB");
    };
    measured("export", &["--store", &path, "export"], to(&lines));
    measured("import", &["--store", &new, "import", &lines], Stdio::null());
    measured("export again", &["--store", &new, "export"], to(&again));
    measured("compare and copy", &["copy", &path, &new], Stdio::null());
    measured("check", &["--store", &new, "check"], Stdio::null());
    let (first, second) = (fs::read(&lines).expect("reads"), fs::read(&again).expect("reads"));
    assert!(first == second, "the second export differs");
    assert!(first.iter().filter(|byte| **byte == b'\n').count() as u64 > objects);
}

/// In KiB; 0 where it cannot be told.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
