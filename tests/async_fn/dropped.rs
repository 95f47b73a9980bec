//! Futures that are dropped before they are done.

use metaparticle::{Result, Store};

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

#[test]
fn a_dropped_future_leaves_the_queue_of_a_hot_object() {
    let (store, _) = Later::store();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut future = Box::pin(store.scope(increment("n")));
        for _ in 0..7 {
            if poll_once(&mut future).is_ready() {
                break;
            }
        }
        waiting.push(future);
    }
    drop(waiting);
    let before = counted(&store).expect("counts");
    pollster::block_on(store.scope(increment("n"))).expect("nobody holds the turn for ever");
    assert_eq!(counted(&store).expect("counts"), before + 1);
    let read = store.transaction(|tx| tx.get::<Counter>("n").map(|counter| counter.n));
    assert_eq!(read.expect("reads"), before + 1);
}
