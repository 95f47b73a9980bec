//! Several instances on one store, one after the other and at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use metaparticle_tests::servers;
use serde_json::json;

use super::support::Instance;

/// The load generator, running.
fn load(user: &str, visits: u64, connections: u64, instances: &[&Instance]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--user", user, "--visits", &visits.to_string(), "--connections", &connections.to_string()]);
    command.args(instances.iter().map(|instance| instance.url()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// What it said at last, if it found all as it must be.
fn sound(output: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("not one visit is lost\n"), "{said}");
    said
}

/// The tool's binary. Where all tests are run, it is there; where only these are, it may have to be built.
fn tool() -> PathBuf {
    let tool = Path::new(env!("CARGO_BIN_EXE_web")).with_file_name("metaparticle");
    if !tool.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "-q", "-p", "metaparticle-cli"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("runs").success());
    }
    tool
}

fn two_instances_lose_not_one_visit(engine: &str) {
    if !servers::is_there(engine, "two instances under load") {
        return;
    }
    let store = servers::shared(engine).expect("the server is there").new_url();
    let (one, other) = (Instance::start(&store), Instance::start(&store));
    let said = sound(&load("load", 2_000, 32, &[&one, &other]).wait_with_output().expect("ends"));
    assert!(said.contains("answered 2000, unknown 0, counted 2000"), "{said}");
    assert_eq!((one.visits("load"), other.visits("load")), (2_000, 2_000));
}

#[test]
fn two_instances_on_one_postgresql_lose_not_one_visit() {
    two_instances_lose_not_one_visit("postgres");
}

#[test]
fn two_instances_on_one_mysql_lose_not_one_visit() {
    two_instances_lose_not_one_visit("mysql");
}

#[test]
fn two_instances_on_one_redis_lose_not_one_visit() {
    two_instances_lose_not_one_visit("redis");
}

#[test]
fn an_instance_that_is_killed_and_started_again_loses_not_one_visit() {
    const CONNECTIONS: u64 = 16;
    if !servers::is_there("postgres", "an instance that is killed") {
        return;
    }
    let store = servers::shared("postgres").expect("the server is there").new_url();
    let (mut one, other) = (Instance::start(&store), Instance::start(&store));
    let address = one.address().to_owned();
    // As many as it takes until the load is still there when the instance is there again.
    for visits in [1_500, 6_000, 24_000, 96_000] {
        let user = format!("load-{visits}");
        let mut load = load(&user, visits, CONNECTIONS, &[&one, &other]);
        while other.visits(&user) < visits / 4 {}
        drop(one);
        one = Instance::start_at(&store, &address);
        let was_in_time = load.try_wait().expect("waits").is_none();
        let said = sound(&load.wait_with_output().expect("ends"));
        assert_eq!(one.visits(&user), other.visits(&user));
        // What was on its way; and what was asked next, if the system still took connections for the one that was dying.
        assert!(one.visits(&user) >= visits - 2 * CONNECTIONS, "only what was on its way may be unknown: {said}");
        if was_in_time {
            return;
        }
    }
    panic!("all had been done before the instance was there again");
}

#[test]
fn a_service_moves_from_sled_to_postgresql() {
    if !servers::is_there("postgres", "a move to PostgreSQL") {
        return;
    }
    let (folder, postgres) = (metaparticle_tests::folder(), servers::shared("postgres").expect("it is there").new_url());
    let sled = folder.path().join("web.db").to_str().expect("a plain path").to_owned();

    let mut web = Instance::start(&sled);
    sound(&load("load", 300, 8, &[&web]).wait_with_output().expect("ends"));
    web.post("accounts/ann");
    web.post("accounts/ben");
    web.send("transfers", &json!({ "from": "ann", "to": "ben", "amount": 30 }));
    web.send("entries", &json!({ "guest": "ann", "text": "from sled" }));
    web.terminate();
    assert!(web.wait().success());

    let copied = Command::new(tool()).args(["copy", &sled, &postgres]).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&copied.stdout), String::from_utf8_lossy(&copied.stderr));
    assert!(copied.status.success() && said.contains(" copied, 0 replaced, 0 were equal; "), "{said}");

    let (one, other) = (Instance::start(&postgres), Instance::start(&postgres));
    assert_eq!(one.visits("load"), 300);
    assert_eq!(one.get("accounts/ann"), (200, json!({ "balance": 70 })));
    assert_eq!(other.get("accounts/ben"), (200, json!({ "balance": 130 })));
    let entry = other.live().wait_for(|told| told["kind"] == "entry");
    assert_eq!(entry["entry"]["text"], "from sled");
    // It goes on where it was.
    assert_eq!(one.send("entries", &json!({ "guest": "ben", "text": "from PostgreSQL" })), (201, json!({ "number": 2 })));
    sound(&load("load", 300, 8, &[&one, &other]).wait_with_output().expect("ends"));
    assert_eq!(one.visits("load"), 600);
}

#[test]
fn what_one_instance_changes_is_live_on_the_other() {
    if !servers::is_there("postgres", "live changes") {
        return;
    }
    let store = servers::shared("postgres").expect("the server is there").new_url();
    let (one, other) = (Instance::start(&store), Instance::start(&store));
    one.post("visits/ann");
    let mut live = other.live();
    live.wait_for(|told| *told == json!({ "kind": "visits", "key": "ann", "count": 1 }));
    one.post("visits/ann");
    live.wait_for(|told| *told == json!({ "kind": "visits", "key": "ann", "count": 2 }));
    one.post("accounts/ben");
    live.wait_for(|told| *told == json!({ "kind": "account", "key": "ben", "balance": 100 }));
    one.send("entries", &json!({ "guest": "ann", "text": "hello" }));
    live.wait_for(|told| told["key"] == 1 && told["entry"]["text"] == "hello");
}

#[test]
fn a_service_that_is_to_stop_answers_what_it_was_asked_and_ends_its_streams() {
    let mut web = Instance::start("memory:");
    let mut live = web.live();
    web.post("visits/ann");
    live.wait_for(|told| told["key"] == "ann");

    // A request whose beginning has arrived.
    let mut request = TcpStream::connect(web.address()).expect("connects");
    request.set_read_timeout(Some(Duration::from_secs(100))).expect("is set");
    let body = json!({ "guest": "ann", "text": "just in time" }).to_string();
    let head = "POST /entries HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-type: application/json";
    write!(request, "{head}\r\ncontent-length: {}\r\n\r\n", body.len()).expect("is sent");
    let mut said = vec![0; 256];
    let length = request.read(&mut said).expect("it asks for the body");
    assert!(said[..length].starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&said[..length]));

    web.terminate();
    assert_eq!(live.last(), None, "the stream ends, and nothing else had changed");
    request.write_all(body.as_bytes()).expect("is sent");
    let mut answer = String::new();
    request.read_to_string(&mut answer).expect("an answer, and the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.ends_with("{\"number\":1}"), "{answer}");
    assert!(web.wait().success());
}
