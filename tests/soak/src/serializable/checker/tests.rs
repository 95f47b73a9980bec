//! One history by hand for each anomaly, and some that have none.

use super::*;
use Op::{Absent, Append, Begin, Keep, Read as Reads, Undo};
use Outcome::{Attempt, Committed, Failed, Unknown};

const X: u64 = 1;
const Y: u64 = 2;

/// A transaction that lasts as long as all others.
fn during(outcome: Outcome, ops: impl Into<Vec<Op>>) -> Transaction {
    Transaction { outcome, client: 0, start: 1, end: 100, ops: ops.into() }
}

fn committed(ops: impl Into<Vec<Op>>) -> Transaction {
    during(Committed, ops)
}

fn at(start: u64, end: u64, transaction: Transaction) -> Transaction {
    Transaction { start, end, ..transaction }
}

/// The last one, which reads all.
fn afterwards(ops: impl Into<Vec<Op>>) -> Transaction {
    at(200, 300, committed(ops))
}

fn reads(key: u64, list: impl Into<Vec<u64>>) -> Op {
    Reads(key, list.into())
}

#[track_caller]
fn finds<const N: usize>(kinds: [&str; N], history: &[Transaction]) {
    let found = check(history);
    let mut found_kinds: Vec<&str> = found.iter().map(|anomaly| anomaly.kind).collect();
    found_kinds.sort();
    assert_eq!(found_kinds, kinds, "{found:?}");
}

#[test]
fn a_serial_history_has_none() {
    finds(
        [],
        &[
            at(1, 2, committed([reads(X, []), Append(X, 1)])),
            at(3, 4, committed([Append(X, 2), reads(X, [1, 2]), Append(Y, 1)])),
            at(5, 6, committed([reads(X, [1, 2]), reads(Y, [1]), Absent(3)])),
        ],
    );
}

#[test]
fn concurrent_ones_that_fit_one_order_have_none() {
    finds(
        [],
        &[
            committed([reads(X, [1]), Append(Y, 2)]),
            committed([Append(X, 1), reads(Y, [])]),
            during(Unknown, [Append(X, 3), reads(X, [99])]),
            during(Unknown, [Append(X, 4)]),
            during(Failed, [Append(X, 5), reads(X, [1, 5])]),
            during(Attempt, [Append(Y, 2), reads(Y, [2])]),
            afterwards([reads(X, [1, 3]), reads(Y, [2])]),
        ],
    );
}

#[test]
fn what_a_transaction_has_done_itself_is_missing() {
    finds(["internal"], &[committed([Append(X, 1), reads(X, [])])]);
    finds(["internal"], &[committed([Append(X, 1), Absent(X)])]);
    finds(["internal"], &[committed([reads(X, []), reads(X, [2])]), committed([Append(X, 2)])]);
}

#[test]
fn what_a_nested_function_has_done_is_kept_or_undone() {
    let nested = |end, read: &[u64]| {
        [committed([Append(X, 1), Begin, Append(X, 2), reads(X, [1, 2]), end, reads(X, read)]), afterwards([reads(X, read)])]
    };
    finds([], &nested(Keep, &[1, 2]));
    finds([], &nested(Undo, &[1]));
    finds(["G1b", "internal", "lost"], &nested(Keep, &[1]));
    finds(["G1a", "internal"], &nested(Undo, &[1, 2]));
    let inner = committed([Begin, Begin, Append(X, 1), Keep, Append(X, 2), Undo, reads(X, [])]);
    finds([], &[inner, afterwards([reads(X, [])])]);
}

#[test]
fn garbage_and_values_that_are_there_twice() {
    finds(["garbage"], &[committed([reads(X, [7])])]);
    finds(["doubled"], &[committed([Append(X, 7)]), committed([reads(X, [7, 7])])]);
}

#[test]
fn lists_that_contradict_each_other() {
    let found =
        check(&[committed([Append(X, 1)]), committed([Append(X, 2)]), committed([reads(X, [1, 2])]), committed([reads(X, [2])])]);
    assert!(found.iter().any(|anomaly| anomaly.kind == "order"), "{found:?}");
}

#[test]
fn a_value_that_is_gone() {
    finds(["lost"], &[committed([Append(X, 1)]), afterwards([reads(X, [])])]);
    // A read that began before it was there need not have it.
    finds([], &[committed([Append(X, 1)]), committed([reads(X, [])])]);
    finds([], &[during(Unknown, [Append(X, 1)]), afterwards([reads(X, [])])]);
}

#[test]
fn g0_two_write_two_lists_in_turns() {
    let history = [
        committed([Append(X, 1), Append(Y, 1)]),
        committed([Append(X, 2), Append(Y, 2)]),
        at(200, 300, committed([reads(X, [1, 2])])),
        at(200, 300, committed([reads(Y, [2, 1])])),
    ];
    finds(["G0"], &history);
}

#[test]
fn g1a_what_was_rolled_back_is_read() {
    finds(["G1a"], &[during(Failed, [Append(X, 1)]), committed([reads(X, [1])])]);
}

#[test]
fn g1b_what_was_not_the_last_is_read() {
    let history = [committed([Append(X, 1), Append(X, 2)]), committed([reads(X, [1])]), afterwards([reads(X, [1, 2])])];
    // It also comes before and after the other one.
    finds(["G-single", "G1b"], &history);
}

#[test]
fn g1c_two_read_what_the_other_writes() {
    finds(["G1c"], &[committed([Append(X, 1), reads(Y, [1])]), committed([Append(Y, 1), reads(X, [1])])]);
}

#[test]
fn g_single_a_lost_update() {
    let history =
        [committed([reads(X, []), Append(X, 1)]), committed([reads(X, []), Append(X, 2)]), afterwards([reads(X, [1, 2])])];
    finds(["G-single"], &history);
}

#[test]
fn g_single_a_mixture() {
    let both = [Append(X, 1), Append(Y, 1)];
    finds(["G-single"], &[committed(both.clone()), committed([reads(X, [1]), reads(Y, [])]), afterwards([reads(Y, [1])])]);
    for outcome in [Failed, Attempt] {
        let mixture = during(outcome, [reads(X, [1]), reads(Y, []), Append(Y, 7)]);
        finds(["G-single"], &[committed(both.clone()), mixture, afterwards([reads(Y, [1])])]);
    }
}

#[test]
fn g2_item_write_skew() {
    let history = [
        committed([reads(X, []), Append(Y, 1)]),
        committed([reads(Y, []), Append(X, 1)]),
        afterwards([reads(X, [1]), reads(Y, [1])]),
    ];
    finds(["G2-item"], &history);
}

#[test]
fn g2_a_phantom() {
    let history = [
        committed([Absent(X), Absent(Y), Append(X, 1)]),
        committed([Absent(X), Absent(Y), Append(Y, 1)]),
        afterwards([reads(X, [1]), reads(Y, [1])]),
    ];
    finds(["G2"], &history);
}

#[test]
fn realtime_what_had_returned_is_not_seen() {
    let history = [at(1, 2, committed([Append(X, 1)])), at(3, 4, committed([reads(X, [])])), afterwards([reads(X, [1])])];
    finds(["realtime"], &history);
    // What nobody knows the outcome of may happen later.
    let history = [at(1, 2, during(Unknown, [Append(X, 1)])), at(3, 4, committed([reads(X, [])])), afterwards([reads(X, [1])])];
    finds([], &history);
    // But not before it was called.
    let history = [at(5, 6, during(Unknown, [Append(X, 1), Append(Y, 1)])), at(1, 2, committed([reads(X, [1])]))];
    finds(["realtime"], &history);
}

#[test]
fn realtime_over_several_transactions() {
    // What is behind the newest ones counts too.
    let mut history = vec![at(1, 2, committed([Append(X, 1)]))];
    history.extend((1..50).map(|n| at(10 * n, 10 * n + 15, committed([Append(Y, n)]))));
    history.push(at(600, 601, committed([reads(X, []), reads(Y, (1..50).collect::<Vec<_>>())])));
    finds(["lost"], &history);
    history.push(at(700, 701, committed([reads(X, [1])])));
    finds(["realtime"], &history);
}
