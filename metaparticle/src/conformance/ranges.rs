//! Checks of scans and of compared ranges.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use super::{Client, PATIENCE, put, seen, seen_page, without_stamp};
use crate::engine::{Answer, Engine, Seen};

pub(super) fn a_scan_is_ordered_as_bytes_are(engine: &dyn Engine) {
    let client = Client(engine);
    let mut keys: Vec<Vec<u8>> =
        [&b"a"[..], b"a\0", b"a\0\0", b"a\x01", b"a\xff", b"ab", b"b", b"\0", b"\xfe\xff"].map(<[u8]>::to_vec).to_vec();
    keys.iter().rev().for_each(|key| client.set(key, key));
    keys.sort();
    let page = client.scan(Seen::NOTHING, b"", b"\xff", 100);
    assert_eq!(page.records.iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>(), keys);
    let page = client.scan(Seen::NOTHING, b"a\0", b"ab", 100);
    assert_eq!(page.records.iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>(), keys[2..5]);
}

pub(super) fn a_scan_is_read_in_pages(engine: &dyn Engine) {
    let client = Client(engine);
    let keys: Vec<[u8; 2]> = (0..25).map(|n| [b'k', n]).collect();
    keys.iter().for_each(|key| client.set(key, key));
    client.remove(&keys[7]);
    let (mut start, mut found) = (b"k".to_vec(), Vec::new());
    while *start < b"l"[..] {
        let page = client.scan(Seen::NOTHING, &start, b"l", 4);
        assert!(page.records.len() <= 4, "a page has more records than asked for");
        assert!(*page.range.start == *start && *page.range.end > *start, "a page does not go on");
        start = page.range.end.to_vec();
        found.extend(page.records.into_iter().map(|(key, _)| key.to_vec()));
    }
    let expected: Vec<_> = keys.iter().filter(|key| **key != keys[7]).map(|key| key.to_vec()).collect();
    assert_eq!(found, expected);
}

pub(super) fn an_empty_range_has_no_records(engine: &dyn Engine) {
    let client = Client(engine);
    client.write(b"b", b"1");
    for (start, end) in [(b"c", b"d"), (b"b", b"b"), (b"d", b"a")] {
        assert!(client.scan(Seen::NOTHING, start, end, 10).records.is_empty());
    }
}

/// A range is read, `change` is made, and the range is compared.
fn compared_range_differs(engine: &dyn Engine, change: impl Fn(&Client<'_>)) -> bool {
    let client = Client(engine);
    for key in [b"b", b"d"] {
        client.write(key, b"1");
    }
    let seen = seen_page(&client.scan(Seen::NOTHING, b"a", b"e", 10));
    assert!(client.execute(&seen, &[], &[]).differs.is_empty(), "nothing has changed yet");
    change(&client);
    let differs = client.execute(&seen, &[], &[put(b"outside", b"1")]).differs;
    assert_eq!(client.read(b"outside").is_none(), !differs.ranges.is_empty(), "a difference must write nothing");
    let again = client.execute(&without_stamp(seen), &[], &[]).differs;
    assert_eq!(again.ranges, differs.ranges, "the stamp must not change the answer");
    !differs.ranges.is_empty()
}

pub(super) fn a_compared_range_notices_an_insert(engine: &dyn Engine) {
    assert!(compared_range_differs(engine, |client| client.set(b"c", b"new")), "the insert went unnoticed");
}

pub(super) fn a_compared_range_notices_an_insert_at_its_end(engine: &dyn Engine) {
    assert!(compared_range_differs(engine, |client| client.set(b"d\0", b"new")), "the insert went unnoticed");
}

pub(super) fn a_compared_range_notices_a_removal(engine: &dyn Engine) {
    assert!(compared_range_differs(engine, |client| client.remove(b"b")), "the removal went unnoticed");
}

pub(super) fn a_compared_range_does_not_mind_a_changed_record(engine: &dyn Engine) {
    assert!(!compared_range_differs(engine, |client| client.set(b"b", b"2")), "only its keys were compared");
}

pub(super) fn a_scan_notices_what_has_changed_before_it(engine: &dyn Engine) {
    let client = Client(engine);
    let old = client.write(b"a", b"1");
    client.write(b"a", b"2");
    let page = client.scan(&seen(&[(b"a", Some(old))]), b"", b"\xff", 10);
    assert!(page.records.is_empty() && page.differs.records.len() == 1, "a mixture of old and new was returned");
}

/// The first page of what begins at `key` is read, `change` is made there, and the next page is read.
fn a_next_page_differs(engine: &dyn Engine, key: &[u8], change: impl Fn(&Client<'_>)) {
    let client = Client(engine);
    for key in [b"b", b"d", b"f", b"h"] {
        client.write(key, b"1");
    }
    let first = client.scan(Seen::NOTHING, key, b"i", 2);
    let next = |seen: &Seen| client.scan(seen, &first.range.end, b"i", 2);
    let seen = seen_page(&first);
    assert!(next(&seen).differs.is_empty(), "nothing has changed yet");
    change(&client);
    for seen in [without_stamp(seen.clone()), seen] {
        let page = next(&seen);
        assert!(page.records.is_empty() && page.differs.ranges == [0], "pages of different instants were returned");
    }
}

pub(super) fn a_scan_notices_an_insert_into_a_page_before_it(engine: &dyn Engine) {
    a_next_page_differs(engine, b"a", |client| client.set(b"a", b"new"));
}

pub(super) fn a_scan_notices_a_removal_from_a_page_before_it(engine: &dyn Engine) {
    a_next_page_differs(engine, b"b", |client| client.remove(b"b"));
}

/// Told each time that something is woken.
struct Wakes(Sender<()>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        // Nobody listens any more once it has answered.
        let _ = self.0.send(());
    }
}

/// Waits on this thread as an executor does: polls only when it was woken.
fn is_answered(engine: &dyn Engine, seen: &Seen, change: impl Fn(&Client<'_>)) {
    let client = Client(engine);
    let (sender, woken) = channel();
    let waker = Waker::from(Arc::new(Wakes(sender)));
    let mut context = Context::from_waker(&waker);
    // An engine may answer too early, before anything has changed.
    if let Answer::Later(watch) | Answer::Committing(watch) = engine.watch(seen) {
        let mut watch = pin!(watch);
        let mut poll = watch.as_mut().poll(&mut context);
        change(&client);
        while poll.is_pending() {
            assert!(woken.recv_timeout(PATIENCE).is_ok(), "the watch was not woken by a change");
            poll = watch.as_mut().poll(&mut context);
        }
        assert!(matches!(poll, Poll::Ready(Ok(()))), "the watch failed");
    } else {
        change(&client);
    }
    client.wait(engine.watch(seen));
}

pub(super) fn a_watch_answers_when_a_record_has_changed(engine: &dyn Engine) {
    let version = Client(engine).write(b"a", b"1");
    let seen = seen(&[(b"a", Some(version)), (b"b", None)]);
    is_answered(engine, &seen, |client| client.set(b"b", b"1"));
}

pub(super) fn a_watch_answers_when_a_range_has_changed(engine: &dyn Engine) {
    let client = Client(engine);
    client.set(b"b", b"1");
    let seen = seen_page(&client.scan(Seen::NOTHING, b"a", b"e", 10));
    is_answered(engine, &seen, |client| client.remove(b"b"));
}
