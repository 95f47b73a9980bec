//! What transactions on lists did, as those who called them know it.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::campaign::Result;

/// A transaction from its call to its return, or one attempt of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) outcome: Outcome,
    /// Who called it. One caller does one thing after the other.
    pub(crate) client: u64,
    /// When it was called, and when it returned, on the clock that all processes of a machine share.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) ops: Vec<Op>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Committed,
    /// Rolled back. What it has read was so all the same.
    Failed,
    /// Nobody knows what has become of it, nor what it has read.
    Unknown,
    /// Rolled back, and run again as another one, which appends the same values. What it has read was so all the same.
    Attempt,
}

/// What was done to a list, which a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// A value at the end of a list. No value is appended twice.
    Append(u64, u64),
    Read(u64, Vec<u64>),
    /// The list was looked for in a range, and is empty.
    Absent(u64),
    /// A nested function begins.
    Begin,
    /// The last one that has begun was successful.
    Keep,
    /// The last one that has begun has failed: what it has appended is undone.
    Undo,
}

/// Writes whatever can be read again, one line each.
pub(crate) fn write_lines<T: Serialize>(mut out: impl Write, lines: &[T]) -> Result<()> {
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

pub(crate) fn read_lines<T: for<'de> Deserialize<'de>>(input: impl BufRead) -> Result<Vec<T>> {
    input.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_was_written_can_be_read() {
        let ops = vec![Op::Begin, Op::Append(1, 2), Op::Undo, Op::Read(1, vec![3, 4]), Op::Absent(9), Op::Begin, Op::Keep];
        let history = [Transaction { outcome: Outcome::Unknown, client: 5, start: 6, end: u64::MAX, ops }];
        let mut file = Vec::new();
        write_lines(&mut file, &history).expect("writes");
        assert_eq!(read_lines::<Transaction>(&*file).expect("reads"), history);
    }
}
