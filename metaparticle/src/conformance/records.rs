//! Checks of single minitransactions.

use super::{Client, delete, put, record_key, seen, version};
use crate::engine::{Engine, Seen};

pub(super) fn a_written_record_is_read_back(engine: &dyn Engine) {
    let client = Client(engine);
    let written = client.write(b"a", b"one");
    let record = client.read(b"a").unwrap_or_else(|| panic!("the record is missing"));
    assert_eq!((&*record.bytes, record.version), (&b"one"[..], written));
}

pub(super) fn an_absent_key_has_no_record(engine: &dyn Engine) {
    assert_eq!(Client(engine).read(b"nobody"), None);
}

pub(super) fn a_removed_record_is_gone(engine: &dyn Engine) {
    let client = Client(engine);
    client.write(b"a", b"one");
    client.remove(b"a");
    assert_eq!(client.read(b"a"), None);
    assert!(client.scan(Seen::NOTHING, b"", b"\xff", 10).records.is_empty(), "a scan finds the removed record");
}

pub(super) fn removing_what_is_absent_is_no_error(engine: &dyn Engine) {
    Client(engine).remove(b"nobody");
}

pub(super) fn a_difference_writes_nothing_and_brings_the_current_record(engine: &dyn Engine) {
    let client = Client(engine);
    let old = client.write(b"a", b"one");
    let new = client.write(b"a", b"two");
    let reply = client.execute(&seen(&[(b"a", Some(old))]), &[], &[put(b"a", b"three"), put(b"b", b"three")]);
    let (key, current) = reply.differs.records.first().unwrap_or_else(|| panic!("the difference went unnoticed"));
    assert_eq!((&**key, version(current)), (&b"a"[..], Some(new)));
    assert_eq!(client.read(b"a").map(|record| record.bytes.to_vec()), Some(b"two".to_vec()));
    assert_eq!(client.read(b"b"), None);
}

pub(super) fn records_to_read_are_returned_also_on_a_difference(engine: &dyn Engine) {
    let client = Client(engine);
    client.write(b"a", b"one");
    client.write(b"b", b"two");
    let reply = client.execute(&seen(&[(b"a", None)]), &[record_key(b"b"), record_key(b"c")], &[]);
    assert!(!reply.differs.is_empty(), "the difference went unnoticed");
    let read: Vec<_> = reply.read.iter().map(|record| record.as_ref().map(|record| record.bytes.to_vec())).collect();
    assert_eq!(read, [Some(b"two".to_vec()), None]);
}

pub(super) fn an_absent_key_that_is_compared_guards_against_an_insert(engine: &dyn Engine) {
    let client = Client(engine);
    let absent = seen(&[(b"a", None)]);
    assert!(client.execute(&absent, &[], &[put(b"a", b"first")]).differs.is_empty());
    assert!(!client.execute(&absent, &[], &[put(b"a", b"second")]).differs.is_empty());
    assert_eq!(client.read(b"a").map(|record| record.bytes.to_vec()), Some(b"first".to_vec()));
}

pub(super) fn every_write_makes_another_version(engine: &dyn Engine) {
    let client = Client(engine);
    let (one, two) = (client.write(b"a", b"same"), client.write(b"a", b"same"));
    assert_ne!(one, two, "a version was used again");
}

pub(super) fn versions_never_repeat_over_remove_and_insert(engine: &dyn Engine) {
    let client = Client(engine);
    let mut versions = Vec::new();
    for _ in 0..20 {
        versions.push(client.write(b"a", b"one"));
        client.remove(b"a");
    }
    for (index, version) in versions.iter().enumerate() {
        assert!(!versions[..index].contains(version), "a version came back with the record");
        let reply = client.execute(&seen(&[(b"a", Some(*version))]), &[], &[put(b"a", b"two")]);
        assert!(!reply.differs.is_empty(), "an old version was taken for current");
    }
}

pub(super) fn writes_without_comparison_are_applied(engine: &dyn Engine) {
    let client = Client(engine);
    let reply = client.execute(Seen::NOTHING, &[], &[put(b"a", b"1"), put(b"b", b"2"), delete(b"c")]);
    assert!(reply.differs.is_empty());
    assert_eq!(client.scan(Seen::NOTHING, b"", b"\xff", 10).records.len(), 2);
}

pub(super) fn one_difference_among_many_keys_writes_nothing(engine: &dyn Engine) {
    let client = Client(engine);
    let keys: Vec<[u8; 1]> = (0..20).map(|n| [n]).collect();
    let versions: Vec<_> = keys.iter().map(|key| (key.to_vec(), client.write(key, b"before"))).collect();
    client.write(&keys[13], b"changed");
    let compare: Vec<_> = versions.iter().map(|(key, version)| (&**key, Some(*version))).collect();
    let writes: Vec<_> = keys.iter().map(|key| put(key, b"after")).collect();
    let reply = client.execute(&seen(&compare), &[], &writes);
    assert_eq!(reply.differs.records.len(), 1, "exactly one key differs");
    for (key, expected) in keys.iter().zip((0..20).map(|n| if n == 13 { &b"changed"[..] } else { b"before" })) {
        assert_eq!(client.read(key).map(|record| record.bytes.to_vec()).as_deref(), Some(expected));
    }
}

pub(super) fn keys_and_records_of_every_length_up_to_the_limits(engine: &dyn Engine) {
    let client = Client(engine);
    let limits = engine.limits();
    let longest_key = limits.key_bytes.min(4 << 10);
    let longest_record = limits.record_bytes.min(1 << 20);
    for length in [1, 2, 3, 127, 128, 255, 256, longest_key - 1, longest_key] {
        // All byte values, and keys of which one is the beginning of the other.
        let key: Vec<u8> = (0..length).map(|n| (n % 256) as u8).collect();
        client.write(&key, &key);
        assert_eq!(client.read(&key).map(|record| record.bytes.to_vec()), Some(key));
    }
    for length in [0, 1, 3_999, 4_000, 4_001, 8_000, 65_535, longest_record - 1, longest_record, 100] {
        let record: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        client.write(b"\0record", &record);
        let read = client.read(b"\0record").map(|record| record.bytes.to_vec());
        assert!(read.as_deref() == Some(&*record), "a record of {length} bytes did not come back as it was");
    }
}

pub(super) fn every_stamp_given_becomes_durable(engine: &dyn Engine) {
    let client = Client(engine);
    let written = client.execute(Seen::NOTHING, &[], &[put(b"a", b"one")]);
    let read = client.execute(Seen::NOTHING, &[record_key(b"a")], &[]);
    let scanned = client.scan(Seen::NOTHING, b"", b"\xff", 10);
    for stamp in [written.stamp, written.durable_at, read.stamp, read.durable_at, scanned.stamp, scanned.durable_at] {
        client.wait(engine.durable(stamp));
    }
}
