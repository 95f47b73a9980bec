//! A second opinion on a history: that of the crate `adya`, which knows nothing of nested functions and attempts.

use std::fmt::Write;

use adya::{History, Opts, Valid, Workload, check};
use serde_json::{Value, json};

use super::history::{Op, Outcome, Transaction};

/// Whether it finds the history strictly serializable, or what it has found.
pub(super) fn ask(history: &[Transaction]) -> Result<(), String> {
    let history = History::parse(&as_lines(history)).map_err(|error| format!("adya cannot read the history: {error:?}"))?;
    let report = check(&history, Workload::ListAppend, &Opts::default());
    if report.valid == Valid::True { Ok(()) } else { Err(report.anomaly_types.join(", ")) }
}

/// A line for each call and each return, in their order.
fn as_lines(history: &[Transaction]) -> String {
    let mut lines: Vec<(u64, bool, Value)> = Vec::new();
    for transaction in history.iter().filter(|one| one.outcome != Outcome::Attempt) {
        let (kept, undone) = flat(&transaction.ops);
        let kind = match transaction.outcome {
            Outcome::Committed => "ok",
            Outcome::Unknown => "info",
            _ => "fail",
        };
        let Transaction { start, end, client, .. } = *transaction;
        lines.push((start, false, json!({ "type": "invoke", "process": client, "value": asked(&kept) })));
        let answered = if transaction.outcome == Outcome::Unknown { asked(&kept) } else { kept };
        lines.push((end, true, json!({ "type": kind, "process": client, "value": answered })));
        if !undone.is_empty() {
            // As another transaction, of a process of its own.
            let process = 1_000_000 + lines.len();
            lines.push((start, false, json!({ "type": "invoke", "process": process, "value": undone })));
            lines.push((end, true, json!({ "type": "fail", "process": process, "value": undone })));
        }
    }
    lines.sort_by_key(|(time, is_return, _)| (*time, *is_return));
    lines.iter().enumerate().fold(String::new(), |mut text, (index, (_, _, line))| {
        let mut line = line.clone();
        line["index"] = json!(index);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
        text
    })
}

/// What was done outside of nested functions that have failed, and what was appended in these.
fn flat(ops: &[Op]) -> (Vec<Value>, Vec<Value>) {
    let (mut kept, mut undone, mut begun) = (Vec::new(), Vec::new(), Vec::new());
    for op in ops {
        match op {
            Op::Append(key, value) => kept.push(json!(["append", key, value])),
            Op::Read(key, list) => kept.push(json!(["r", key, list])),
            Op::Absent(key) => kept.push(json!(["r", key, []])),
            Op::Begin => begun.push(kept.len()),
            Op::Keep => drop(begun.pop()),
            Op::Undo => undone.extend(kept.drain(begun.pop().unwrap_or_default()..).filter(|op| op[0] == "append")),
        }
    }
    (kept, undone)
}

/// The same before it was answered.
fn asked(ops: &[Value]) -> Vec<Value> {
    ops.iter().map(|op| if op[0] == "r" { json!(["r", op[1], null]) } else { op.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(client: u64, (start, end): (u64, u64), outcome: Outcome, ops: &[Op]) -> Transaction {
        Transaction { outcome, client, start, end, ops: ops.to_vec() }
    }

    #[test]
    fn it_tells_a_serial_history_from_a_lost_update() {
        let read = |list: &[u64]| Op::Read(1, list.to_vec());
        let history = |second: &[u64]| {
            [
                transaction(0, (1, 5), Outcome::Committed, &[read(&[]), Op::Append(1, 1)]),
                transaction(
                    1,
                    (6, 9),
                    Outcome::Committed,
                    &[Op::Begin, Op::Append(1, 9), Op::Undo, read(second), Op::Append(1, 2)],
                ),
                transaction(2, (6, 9), Outcome::Unknown, &[Op::Append(1, 3)]),
                transaction(0, (10, 11), Outcome::Committed, &[read(&[1, 2, 3])]),
            ]
        };
        assert_eq!(ask(&history(&[1])), Ok(()));
        let found = ask(&history(&[])).expect_err("the second one has not seen the first one");
        assert!(found.contains("G-single"), "{found}");
    }
}
