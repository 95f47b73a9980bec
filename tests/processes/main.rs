//! Several processes on one store: nothing is lost, and no transaction sees a mixture. `TRANSACTIONS=1000` is the long form.

use std::process::{Child, Command, Stdio};

use metaparticle::{Store, persistent};
use metaparticle_tests::servers::{self, Server};

#[persistent(default, key = u64)]
struct Done {
    transactions: u64,
}

const PROCESSES: u64 = 3;

fn transactions() -> u64 {
    std::env::var("TRANSACTIONS").map_or(40, |transactions| transactions.parse().expect("TRANSACTIONS is a number"))
}

fn start(url: &str, worker: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_process-worker"))
        .args([url, &worker.to_string(), &transactions().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process starts")
}

fn has_failed(worker: &mut Child) -> bool {
    worker.try_wait().expect("it is ours").is_some_and(|status| !status.success())
}

/// Waits for the workers, each of which checks what it sees, and then counts what they have done.
fn finish(url: &str, workers: Vec<Child>) {
    let unknown: Vec<u64> = workers
        .into_iter()
        .map(|worker| {
            let output = worker.wait_with_output().expect("it ends");
            assert!(output.status.success(), "a worker has failed");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
        })
        .collect();
    let store = Store::open(url).expect("a store");
    for (worker, unknown) in unknown.into_iter().enumerate() {
        let done = store.transaction(|tx| tx.get::<Done>(worker as u64).map(|done| done.transactions)).expect("counts");
        let all = 2 * transactions();
        assert!((all - unknown..=all).contains(&done), "{done} of {all} transactions are there, {unknown} unknown");
    }
}

fn transfers_and_rings_of_several_processes_are_serializable(engine: &str) {
    let url = servers::shared(engine).expect("the server is there").new_url();
    finish(&url, (0..PROCESSES).map(|worker| start(&url, worker)).collect());
}

fn they_are_also_when_the_server_crashes(engine: &str) {
    let mut server = Server::start(engine);
    let url = server.new_url();
    let mut workers: Vec<Child> = (0..PROCESSES).map(|worker| start(&url, worker)).collect();
    let store = Store::open(&url).expect("a store");
    let done = || store.transaction(|tx| tx.get::<Done>(0).map(|done| done.transactions));
    for part in 1..=3 {
        // What cannot be read while the server is away can be read later. A worker that has failed does no more.
        while done().is_ok_and(|done| done < part * transactions() / 2) && !has_failed(&mut workers[0]) {
            std::thread::yield_now();
        }
        server.crash_and_restart();
    }
    finish(&url, workers);
}

metaparticle_tests::on_every_server! {
    transfers_and_rings_of_several_processes_are_serializable
    they_are_also_when_the_server_crashes
}
