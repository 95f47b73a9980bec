//! The loss of a primary: whatever it has answered is on its standby.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaparticle::{Durability, ErrorKind, Store};
use metaparticle_tests::proxy::Fault;
use metaparticle_tests::servers::Server;

use crate::faults::loses_no_answered_call;
use crate::{count, increment, open};

metaparticle_tests::on_server! { on_mysql "mysql"
    what_was_answered_is_on_the_standby_that_takes_over
    what_the_standby_does_not_have_is_neither_answered_nor_seen
}

metaparticle_tests::on_server! { on_postgres "postgres"
    what_was_answered_is_on_the_standby_that_takes_over
    what_the_standby_does_not_have_is_neither_answered_nor_seen
    a_store_that_names_the_standby_too_goes_on_there
    a_standby_is_waited_for_until_it_takes_over
}

/// So many commits before the primary is lost.
const BEFORE: u64 = 300;

fn what_was_answered_is_on_the_standby_that_takes_over(engine: &str) {
    let (mut primary, standby, link) = Server::start_with_standby(engine);
    let url = primary.new_url();
    drop(open(&url));
    let answered = [const { AtomicU64::new(0) }; 4];
    let total = || answered.iter().map(|answered| answered.load(Ordering::Relaxed)).sum::<u64>();
    std::thread::scope(|scope| {
        let calls = |caller: usize| {
            let store = Store::builder(&url).timeout(Duration::from_secs(5)).open().expect("a store opens");
            while total() < 2 * BEFORE && store.run(|| increment(caller.to_string())).is_ok() {
                answered[caller].fetch_add(1, Ordering::Relaxed);
            }
        };
        let callers: Vec<_> = (0..answered.len()).map(|caller| scope.spawn(move || calls(caller))).collect();
        let wait_until = |commits| {
            while total() < commits && !callers.iter().any(|caller| caller.is_finished()) {
                std::thread::yield_now();
            }
        };
        wait_until(BEFORE);
        link.once(Fault::Stall, 0);
        link.wait_until_met(1);
        // A primary that does not wait for its standby goes on.
        wait_until(2 * BEFORE);
        primary.crash();
    });
    assert!(total() >= BEFORE, "only {} were answered", total());
    standby.take_over();
    let store = open(&url.replace(&primary.port().to_string(), &standby.port().to_string()));
    for (caller, answered) in answered.into_iter().map(AtomicU64::into_inner).enumerate() {
        let counted = store.run(|| count(caller.to_string())).expect("counts");
        // The last one may have been carried out without an answer.
        assert!((answered..=answered + 1).contains(&counted), "{caller}: {counted} are there, {answered} were answered");
        assert_eq!(store.run(|| increment(caller.to_string())).expect("it goes on"), counted + 1);
    }
}

fn what_the_standby_does_not_have_is_neither_answered_nor_seen(engine: &str) {
    let (primary, mut standby, _) = Server::start_with_standby(engine);
    let url = primary.new_url();
    // A session, and a store, that would not even wait for a disk.
    let eager = if engine == "postgres" { "&options=-c%20synchronous_commit%3Doff" } else { "" };
    let builder = Store::builder(format!("{url}{eager}")).durability(Durability::Eventual);
    // Longer than a statement may take, so that giving up on the standby would be noticed.
    let store = builder.timeout(Duration::from_secs(8)).open().expect("a store opens");
    store.run(|| increment("n")).expect("increments");
    standby.crash();
    let error = store.run(|| increment("n")).expect_err("the standby does not have it");
    assert!(error.is_indeterminate(), "{error:?}");
    assert_eq!(open(&url).run(|| count("n")).expect("counts"), 1);
    standby.restart();
    let reached = store.run(|| increment("n")).expect("the standby is back");
    assert!((2..=3).contains(&reached), "{reached}");
}

fn a_store_that_names_the_standby_too_goes_on_there(engine: &str) {
    let (mut primary, standby, _) = Server::start_with_standby(engine);
    // The first one takes no writes yet.
    let both = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let url = primary.new_url().replace(&format!("127.0.0.1:{}", primary.port()), &both);
    let store = Store::builder(url).timeout(Duration::from_secs(60)).open().expect("a store opens");
    loses_no_answered_call(&store, 2 * BEFORE, |wait_for| {
        wait_for(BEFORE);
        primary.crash();
        standby.take_over();
    });
}

fn a_standby_is_waited_for_until_it_takes_over(engine: &str) {
    let (mut primary, standby, _) = Server::start_with_standby(engine);
    let url = primary.new_url();
    open(&url).run(|| increment("n")).expect("increments");
    let url = url.replace(&primary.port().to_string(), &standby.port().to_string());
    let patient = |seconds| Store::builder(&url).timeout(Duration::from_secs(seconds)).open();
    let error = patient(2).expect_err("it takes no writes");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| patient(60));
        primary.crash();
        standby.take_over();
        let store = waits.join().expect("no panic").expect("a store opens");
        assert_eq!(store.run(|| increment("n")).expect("increments"), 2);
    });
}
