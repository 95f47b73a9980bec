//! Waiting for what another process brings about.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use metaparticle::{Store, TransactionOptions, Tx};
use metaparticle_tests::on_threads;
use metaparticle_tests::queue::{put, take};
use metaparticle_tests::servers::Server;

use crate::{Counter, increment, open, server};

metaparticle_tests::on_every_server! {
    a_bounded_queue_between_processes_loses_nothing_and_gives_nothing_twice
    a_wait_outlives_a_server_that_crashes
}

fn a_bounded_queue_between_processes_loses_nothing_and_gives_nothing_twice(engine: &str) {
    const EACH: u64 = 8;
    let url = server(engine).new_url();
    let taken = Mutex::new(Vec::new());
    on_threads(4, |thread| {
        // A store of its own, as a process has one.
        open(&url).run(|| {
            for n in 0..EACH {
                if thread % 2 == 0 {
                    put("mail", thread as u64 * EACH + n).expect("puts");
                    continue;
                }
                let item = take("mail").expect("takes");
                taken.lock().expect("no panic").push(item);
            }
        });
    });
    let mut taken = taken.into_inner().expect("no panic");
    taken.sort_unstable();
    let put: Vec<u64> = [0, 2].into_iter().flat_map(|thread| thread * EACH..(thread + 1) * EACH).collect();
    assert_eq!(taken, put);
}

fn a_wait_outlives_a_server_that_crashes(engine: &str) {
    let mut server = Server::start(engine);
    let url = server.new_url();
    // So that the server has time to come back.
    let open = || Store::builder(&url).timeout(Duration::from_secs(60)).open().expect("a store opens");
    let (store, other) = (open(), open());
    let options = TransactionOptions::new().timeout(Duration::from_secs(120));
    let (runs, ran) = channel();
    let body = |tx: &Tx| {
        let n = tx.get::<Counter>("n")?.n;
        runs.send(n).expect("somebody listens");
        tx.wait_until(n > 1)?;
        metaparticle::Ok(n)
    };
    other.run(|| increment("n")).expect("increments");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.transaction_with(options, body));
        assert_eq!(ran.recv_timeout(Duration::from_secs(60)).expect("it runs"), 1);
        server.crash_and_restart();
        assert_eq!(other.run(|| increment("n")).expect("increments"), 2);
        assert_eq!(waiting.join().expect("no panic").expect("the wait goes on"), 2);
    });
}
