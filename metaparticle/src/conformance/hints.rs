//! Checks of subscriptions.

use super::{Client, PATIENCE, record_key};
use crate::clock::SystemClock;
use crate::engine::{Engine, Hint, KeyRange, Seen, Subscription};
use crate::sync::block_on;

fn subscribed(engine: &dyn Engine, start: &[u8], end: &[u8]) -> Subscription {
    engine.subscribe(&[KeyRange { start: record_key(start), end: record_key(end) }])
}

/// Waits until the key is told, or it is told that something may have been missed. One who has to look now and then anyway need
/// not be told.
fn is_told(subscription: &Subscription, key: &[u8]) {
    if subscription.check().is_some() {
        return;
    }
    loop {
        match block_on(subscription.next(), &SystemClock::default(), Some(PATIENCE)) {
            Some(Hint::Keys(keys)) if !keys.contains(&record_key(key)) => {}
            Some(_) => return,
            None => panic!("a change was not told"),
        }
    }
}

pub(super) fn a_subscription_is_told_of_writes_and_removals(engine: &dyn Engine) {
    let client = Client(engine);
    let (one, some) = (subscribed(engine, b"b", b"b\0"), subscribed(engine, b"a", b"c"));
    for _ in 0..3 {
        client.set(b"b", b"1");
        is_told(&one, b"b");
        is_told(&some, b"b");
        client.remove(b"b");
        is_told(&one, b"b");
        is_told(&some, b"b");
    }
}

pub(super) fn a_subscription_that_is_not_asked_does_not_forget(engine: &dyn Engine) {
    let client = Client(engine);
    let subscription = subscribed(engine, b"a", b"z");
    client.set(b"k", b"1");
    // More than anybody keeps.
    for number in 0..11_u8 {
        let put = |other: u8| super::put(&[b'm', number, other], b"1");
        client.execute(Seen::NOTHING, &[], &(0..100).map(put).collect::<Vec<_>>());
    }
    is_told(&subscription, b"k");
}
