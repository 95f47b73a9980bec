//! Futures that are dropped before they are done.

use std::time::{Duration, Instant};

use metaparticle::{Result, Store, transactional};

use crate::group::{hold, poll, started};
use crate::later::{Later, poll_once};
use crate::{Counter, count, increment};

fn counted(store: &Store) -> Result<u64> {
    pollster::block_on(store.scope(count("n")))
}

#[test]
fn a_future_that_is_dropped_before_its_commit_was_sent_leaves_no_trace() {
    let (store, calls) = Later::store();
    pollster::block_on(store.scope(increment("n"))).expect("increments");
    let mut polls = 0;
    loop {
        calls.reset();
        let mut future = Box::pin(store.scope(increment("n")));
        let done = (0..=polls).any(|_| poll_once(&mut future).is_ready());
        if done || calls.commits() > 0 {
            break;
        }
        drop(future);
        assert_eq!(counted(&store).expect("counts"), 1, "dropped after {} polls", polls + 1);
        polls += 1;
    }
    assert!(polls > 1, "it was never dropped in the middle");
    assert_eq!(counted(&store).expect("counts"), 2);
}

/// So long it waits for its turn at most: a tenth of its timeout.
const COURTESY: Duration = Duration::from_secs(6);

/// Of two objects, so that it is not committed with others as a group.
#[transactional(timeout = "60s")]
async fn increment_both(one: &mut Counter, other: &mut Counter) -> Result<u64> {
    one.n += 1;
    other.n += 1;
    Ok(one.n)
}

#[test]
fn a_dropped_future_leaves_the_queue_of_a_hot_object() {
    let mut dropped = 0;
    for polls in 1..60 {
        let (store, other, calls) = Later::two_stores();
        hold(&store, &calls);
        let mut all: Vec<_> = (0..20).map(|_| started(&store, increment_both("n", "m"))).collect();
        calls.before_commit(move || {
            pollster::block_on(other.scope(increment_both("n", "m"))).expect("increments");
        });
        calls.release_all();
        // All have lost to the other store, and take turns from now on.
        (0..polls).for_each(|_| all.retain_mut(|future| poll(future).is_pending()));
        dropped += all.len();
        drop(all);
        let before = counted(&store).expect("counts");
        // More than those who are awake may do before those who were first in the queue.
        for n in 1..=50 {
            let began = Instant::now();
            let after = pollster::block_on(store.scope(increment_both("n", "m"))).expect("increments");
            assert_eq!(after, before + n);
            assert!(began.elapsed() < COURTESY, "somebody who has gone had the turn");
        }
        let read = store.transaction(|tx| tx.get::<Counter>("n").map(|counter| counter.n));
        assert_eq!(read.expect("reads"), before + 50);
    }
    assert!(dropped > 100, "only {dropped} were dropped before they were done");
}
