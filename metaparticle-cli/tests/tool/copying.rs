//! Copies: all records, again where they were cut short, and never over something else unasked.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use metaparticle::{Durability, Store, Tx};

use metaparticle_tests::servers;

use super::support::{Account, beside, command, done, fails, filled, put, records, run, text};

#[test]
fn a_copy_has_the_same_records() {
    let (_folder, path) = filled();
    put(&path, &[(b"\x02Account\0\x02cut\0", Some(b"\x01")), (b"\x01other\0", Some(b"anything"))]);
    let new = beside(&path, "new");
    let count = records(&path).len();
    assert_eq!(done(&["copy", &path, &new]).trim(), format!("{count} copied, 0 replaced, 0 were equal; {count} verified"));
    assert_eq!(records(&path), records(&new));
    let line = done(&["--json", "copy", &path, &new]);
    assert!(line.contains(&format!("\"equal\":{count},\"verified\":{count}")), "{line}");
    // To another engine.
    assert!(done(&["copy", &path, "memory:"]).contains(&format!("{count} verified")));
}

/// As when a service outgrows one process.
fn there_and_back(engine: &str) {
    if !servers::is_there(engine, "a copy to a server and back") {
        return;
    }
    let server = servers::shared(engine).expect("the server is there");
    let (_folder, path) = filled();
    to_and_back(&path, &server.new_url());
}

fn to_and_back(path: &str, url: &str) {
    let back = beside(path, "back");
    let count = records(path).len();
    let all = format!("{count} copied, 0 replaced, 0 were equal; {count} verified");
    assert_eq!(done(&["copy", path, url]).trim(), all);
    assert!(done(&["--store", url, "check"]).trim_end().ends_with(" 0 damaged"));
    assert_eq!(done(&["--store", url, "export"]), done(&["--store", path, "export"]));
    let ann = |store: &str| {
        let store = Store::open(store).expect("opens");
        store.transaction(|tx| Ok::<_, metaparticle::Error>(tx.get::<Account>("ann")?.balance)).expect("reads")
    };
    assert_eq!(ann(url), ann(path));
    assert_eq!(done(&["copy", url, &back]).trim(), all);
    assert!(records(path) == records(&back));
    // What was changed there is asked about, like anything else that would be lost.
    done(&["--store", url, "set", "Account", "ann", "balance=77"]);
    assert!(fails(2, &["copy", path, url]).contains("1 with other values"));
    assert_eq!(ann(url), 77);
}

#[test]
fn a_store_is_moved_to_fjall_and_back() {
    let (_folder, path) = filled();
    to_and_back(&path, &format!("fjall:{}", beside(&path, "on fjall")));
    assert!(fails(2, &["--store", &beside(&path, "on fjall"), "ls"]).contains("open it as `fjall:"));
}

#[test]
fn a_store_is_moved_to_postgresql_and_back() {
    there_and_back("postgres");
}

#[test]
fn a_store_is_moved_to_mysql_and_back() {
    there_and_back("mysql");
}

#[test]
fn a_store_is_moved_to_etcd_and_back() {
    there_and_back("etcd");
}

#[test]
fn a_store_is_moved_to_redis_and_back() {
    there_and_back("redis");
}

#[test]
fn other_objects_in_the_target_are_kept_and_asked_about() {
    let (_folder, path) = filled();
    let new = beside(&path, "new");
    done(&["copy", &path, &new]);
    let store = Store::open(&new).expect("opens");
    let change = |tx: &Tx| {
        tx.insert("only there", Account { balance: 1, owner: String::new() })?;
        tx.get_mut::<Account>("ann")?.balance = 77;
        metaparticle::Ok(())
    };
    store.transaction(change).expect("changes");
    drop(store);
    let before = records(&new);
    let error = fails(2, &["copy", &path, &new]);
    assert!(error.contains("1 objects that the source does not have, and 1 with other values"), "{error}");
    assert_eq!(records(&new), before);
    assert!(done(&["copy", "--yes", &path, &new]).contains("1 replaced"));
    let (source, mut target) = (records(&path), records(&new));
    assert!(target.remove(&b"\x02Account\0\x02only there\0"[..]).is_some());
    assert_eq!(source, target);
}

#[test]
fn schemas_that_do_not_agree_are_not_mixed() {
    let (_folder, path) = filled();
    let new = beside(&path, "new");
    let line = records(&path)[&b"\x01schema\0\x02line\0"[..]].clone();
    done(&["copy", &path, &new]);
    put(&new, &[(b"\x01schema\0\x02Account\0", Some(&line))]);
    assert!(fails(2, &["copy", &path, &new, "--yes"]).contains("Account with other schemas"));
}

#[test]
fn a_copy_that_was_cut_short_goes_on_where_it_ended() {
    const OBJECTS: u64 = 30_000;
    let (_folder, path) = filled();
    let store = Store::builder(&path).durability(Durability::Eventual).open().expect("opens");
    for start in (0..OBJECTS).step_by(1_000) {
        let insert = |tx: &Tx| {
            let account = |n: u64| Account { balance: n as i64, owner: "x".repeat(50) };
            (start..start + 1_000).try_for_each(|n| tx.insert(format!("{n:06}"), account(n)))
        };
        store.transaction(insert).expect("inserts");
    }
    drop(store);
    let all = records(&path);
    let mut cut_short = 0;
    for patience in (0..40).map(|n| 20 + n * 50) {
        let new = beside(&path, &format!("new {patience}"));
        let mut child = command(&["copy", &path, &new]);
        let mut child = child.stdout(std::process::Stdio::null()).spawn().expect("starts");
        while !Path::new(&new).exists() && child.try_wait().expect("waits").is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(patience));
        child.kill().expect("ends");
        child.wait().expect("ends");
        let there = if Path::new(&new).join("metaparticle").exists() { records(&new).len() } else { 0 };
        if there == all.len() {
            break;
        }
        if there == 0 {
            continue;
        }
        cut_short += 1;
        let output = run(&["--json", "copy", &path, &new]);
        let line = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let wanted = format!("{{\"copied\":{},\"replaced\":0,\"equal\":{there},\"verified\":{}", all.len() - there, all.len());
        assert!(line.starts_with(&wanted), "{line}, and wanted {wanted}");
        assert_eq!(records(&new), all);
        if cut_short == 3 {
            break;
        }
    }
    assert!(cut_short > 0, "no copy was cut short in the middle");
}
