//! The engine contract as named checks, for the engines here and for other people's.
//!
//! [`conformance_tests!`](crate::conformance_tests) makes one `#[test]` of each:
//!
//! ```
//! use metaparticle::conformance;
//! # use metaparticle::engine::Engine;
//! # fn an_empty_engine() -> Box<dyn Engine> { conformance::memory_engine() }
//!
//! metaparticle::conformance_tests!(an_empty_engine);
//! ```
//!
//! The argument is called once for each test and gives an engine without records, as a `Box<dyn Engine>`; if the engine needs
//! something beside it that lasts as long, such as a folder, it gives a pair; if it may be missing, such as a server that is not
//! installed, it gives an `Option`, and says so itself when that is `None`: there is nothing to check then.

mod concurrency;
mod hints;
mod ranges;
mod records;

use std::time::Duration;

use crate::Result;
use crate::clock::SystemClock;
use crate::durability::Durability;
use crate::engine::embedded::Embedded;
use crate::engine::{Answer, CommitId, Engine, Page, Record, RecordKey, Reply, Request, Seen, Stamp, Version, Write};
use crate::engine::{KeyRange, SeenRange};
use crate::sync::block_on;

/// How long an engine may take for one answer, so that one which never answers is told from one that is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The engine of `memory:` stores.
pub fn memory_engine() -> Box<dyn Engine> {
    Box::new(Embedded::in_memory())
}

/// The engine of stores in a folder.
///
/// # Errors
/// As [`Store::open`](crate::Store::open).
#[cfg(feature = "sled")]
pub fn sled_engine(path: &std::path::Path) -> Result<Box<dyn Engine>> {
    let open_map = |cache_bytes| crate::engine::embedded::sled::open(path, cache_bytes);
    Ok(Box::new(crate::engine::embedded::in_folder(open_map, 16 << 20, Duration::from_millis(100))?))
}

/// The engine of stores at this URL.
///
/// # Errors
/// As [`Store::open`](crate::Store::open).
pub fn engine_at(url: &str) -> Result<Box<dyn Engine>> {
    crate::Store::builder(url).engine()
}

/// An engine, alone or with what must live as long, if it is there.
pub trait UnderTest {
    /// The engine.
    fn engine(&self) -> Option<&dyn Engine>;
}

impl UnderTest for Box<dyn Engine> {
    fn engine(&self) -> Option<&dyn Engine> {
        Some(&**self)
    }
}

impl<Beside> UnderTest for (Box<dyn Engine>, Beside) {
    fn engine(&self) -> Option<&dyn Engine> {
        self.0.engine()
    }
}

impl<T: UnderTest> UnderTest for Option<T> {
    fn engine(&self) -> Option<&dyn Engine> {
        self.as_ref()?.engine()
    }
}

/// Defines the list of checks once: as a table, and as the macro that makes tests of them.
macro_rules! checks {
    ($dollar:tt $($module:ident::$name:ident)*) => {
        /// All checks, by name.
        pub const CHECKS: &[(&str, fn(&dyn Engine))] = &[$((stringify!($name), $module::$name)),*];

        /// One test for each check of the engine contract; see [`conformance`](crate::conformance).
        #[macro_export]
        macro_rules! conformance_tests {
            ($dollar make:expr) => {
                $(#[test] fn $name() { $crate::conformance::check(stringify!($name), &$dollar make()); })*
            };
        }
    };
}

checks! { $
    records::a_written_record_is_read_back
    records::an_absent_key_has_no_record
    records::a_removed_record_is_gone
    records::removing_what_is_absent_is_no_error
    records::a_difference_writes_nothing_and_brings_the_current_record
    records::records_to_read_are_returned_also_on_a_difference
    records::an_absent_key_that_is_compared_guards_against_an_insert
    records::every_write_makes_another_version
    records::versions_never_repeat_over_remove_and_insert
    records::writes_without_comparison_are_applied
    records::one_difference_among_many_keys_writes_nothing
    records::keys_and_records_of_every_length_up_to_the_limits
    records::every_stamp_given_becomes_durable
    ranges::a_scan_is_ordered_as_bytes_are
    ranges::a_scan_is_read_in_pages
    ranges::an_empty_range_has_no_records
    ranges::a_compared_range_notices_an_insert
    ranges::a_compared_range_notices_an_insert_at_its_end
    ranges::a_compared_range_notices_a_removal
    ranges::a_compared_range_does_not_mind_a_changed_record
    ranges::a_scan_notices_what_has_changed_before_it
    ranges::a_scan_notices_an_insert_into_a_page_before_it
    ranges::a_scan_notices_a_removal_from_a_page_before_it
    ranges::a_watch_answers_when_a_record_has_changed
    ranges::a_watch_answers_when_a_range_has_changed
    hints::a_subscription_is_told_of_writes_and_removals
    hints::a_subscription_that_is_not_asked_does_not_forget
    concurrency::no_increment_is_lost
    concurrency::reads_of_several_keys_are_of_one_instant
    concurrency::scans_are_of_one_instant
    concurrency::write_skew_is_refused
    concurrency::phantoms_are_refused
}

/// Runs one check.
///
/// # Panics
/// If the engine breaks its contract, or there is no such check.
pub fn check(name: &str, engine: &impl UnderTest) {
    let Some((_, check)) = CHECKS.iter().find(|(known, _)| *known == name) else { panic!("there is no check {name}") };
    if let Some(engine) = engine.engine() {
        check(engine);
    }
}

/// What the checks use an engine through.
struct Client<'a>(&'a dyn Engine);

impl Client<'_> {
    fn wait<T>(&self, answer: Answer<'_, T>) -> T {
        let result: Result<T> = match answer {
            Answer::Ready(result) => result,
            Answer::Later(future) | Answer::Committing(future) => block_on(future, &SystemClock::default(), Some(PATIENCE))
                .unwrap_or_else(|| panic!("the engine did not answer within {PATIENCE:?}")),
        };
        result.unwrap_or_else(|error| panic!("the engine failed: {error:?}"))
    }

    fn execute(&self, compare: &Seen, read: &[RecordKey], write: &[Write]) -> Reply {
        let id = CommitId(fastrand::u128(..));
        let reply = self.wait(self.0.execute(Request { compare, read, write, id, durability: Durability::Immediate }));
        assert_eq!(reply.read.len(), read.len(), "a reply has one answer for each key to read");
        reply
    }

    fn write(&self, key: &[u8], bytes: &[u8]) -> Version {
        let reply = self.execute(Seen::NOTHING, &[], &[put(key, bytes)]);
        assert!(reply.differs.is_empty(), "nothing was compared");
        reply.version.unwrap_or_else(|| panic!("a commit has a version"))
    }

    fn set(&self, key: &[u8], bytes: &[u8]) {
        self.write(key, bytes);
    }

    fn remove(&self, key: &[u8]) {
        assert!(self.execute(Seen::NOTHING, &[], &[delete(key)]).differs.is_empty(), "nothing was compared");
    }

    fn read(&self, key: &[u8]) -> Option<Record> {
        self.execute(Seen::NOTHING, &[record_key(key)], &[]).read.remove(0)
    }

    fn scan(&self, compare: &Seen, start: &[u8], end: &[u8], limit: usize) -> Page {
        let range = KeyRange { start: record_key(start), end: record_key(end) };
        self.wait(self.0.scan(compare, &range, limit))
    }
}

fn record_key(key: &[u8]) -> RecordKey {
    RecordKey::new(key)
}

fn put(key: &[u8], bytes: &[u8]) -> Write {
    Write { key: record_key(key), bytes: Some(bytes.into()) }
}

fn delete(key: &[u8]) -> Write {
    Write { key: record_key(key), bytes: None }
}

/// A read set of these keys and versions.
fn seen(records: &[(&[u8], Option<Version>)]) -> Seen {
    let records = records.iter().map(|(key, version)| (record_key(key), *version)).collect();
    Seen { records, ..Seen::default() }
}

/// A read set of what a page has shown.
fn seen_page(page: &Page) -> Seen {
    let keys = page.records.iter().map(|(key, _)| key.clone()).collect();
    Seen { ranges: vec![SeenRange { range: page.range.clone(), keys }], stamp: page.stamp, ..Seen::default() }
}

fn version(record: &Option<Record>) -> Option<Version> {
    record.as_ref().map(|record| record.version)
}

fn number(record: &Option<Record>) -> u64 {
    record.as_ref().map_or(0, |record| u64::from_le_bytes((*record.bytes).try_into().unwrap_or_default()))
}

/// A read set that no engine can take for current because of its stamp alone.
fn without_stamp(seen: Seen) -> Seen {
    Seen { stamp: Stamp(0), ..seen }
}
