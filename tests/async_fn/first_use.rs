//! The first use of a type, by several futures of a process, while another process writes its schema.

use crate::later::{Later, poll_once};
use crate::{count, increment};

/// Each of the futures that find the type unknown asks for its schemas. One that does not need the answer, because another future
/// was faster, must not take it for an answer to what it asks later.
#[test]
fn a_type_that_another_process_writes_meanwhile_is_known_to_a_slow_future_as_well() {
    let (store, other, calls) = Later::two_stores();
    let same = store.clone();
    calls.before_read("schema", move || {
        let mut faster = Box::pin(same.scope(count("n")));
        for _ in 0..2 {
            assert!(poll_once(&mut faster).is_pending(), "it knows the type, and waits for the record");
        }
    });
    let mut slow = Box::pin(store.scope(count("n")));
    for _ in 0..2 {
        assert!(poll_once(&mut slow).is_pending(), "it waits for the record");
    }
    pollster::block_on(other.scope(increment("n"))).expect("increments");
    assert_eq!(pollster::block_on(slow).expect("counts"), 1);
}
