//! Statements on their way to the server, as many at once as their size allows.

use mysql_async::Value;

/// A batch that has grown to so many bytes is sent.
const BATCH: usize = 256 << 10;

/// Statements that are sent at once. The server stops at the first that fails.
#[derive(Default)]
pub(super) struct Batch {
    text: String,
    statements: usize,
}

impl Batch {
    pub(super) fn of(statement: String) -> Self {
        Self { text: statement, statements: 1 }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn statements(&self) -> usize {
        self.statements
    }
}

/// What is sent in one round trip.
pub(super) enum Step<'a> {
    Batch(Batch),
    /// One statement with parameters.
    One(&'a str, Vec<Value>),
}

/// What is sent in as few round trips as its size allows.
#[derive(Default)]
pub(super) struct Steps<'a>(Vec<Step<'a>>);

impl<'a> Steps<'a> {
    pub(super) fn add(&mut self, statement: String) {
        match self.0.last_mut() {
            Some(Step::Batch(batch)) if batch.text.len() + statement.len() <= BATCH => {
                batch.text.push_str("; ");
                batch.text.push_str(&statement);
                batch.statements += 1;
            }
            _ => self.0.push(Step::Batch(Batch::of(statement))),
        }
    }

    pub(super) fn one(&mut self, statement: &'a str, parameters: Vec<Value>) {
        self.0.push(Step::One(statement, parameters));
    }

    pub(super) fn into_vec(self) -> Vec<Step<'a>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH, Step, Steps};

    #[test]
    fn statements_stay_in_order_in_batches_of_a_bounded_size() {
        let mut steps = Steps::default();
        let long = |n: usize| format!("{n}{}", "x".repeat(BATCH / 3));
        (0..5).for_each(|n| steps.add(long(n)));
        steps.one("one", Vec::new());
        steps.add("last".to_owned());
        let sent: Vec<_> = steps
            .into_vec()
            .into_iter()
            .map(|step| match step {
                Step::Batch(batch) => (batch.statements(), batch.text().to_owned()),
                Step::One(text, _) => (1, text.to_owned()),
            })
            .collect();
        let both = |one, next| (2, format!("{}; {}", long(one), long(next)));
        assert_eq!(sent, [both(0, 1), both(2, 3), (1, long(4)), (1, "one".to_owned()), (1, "last".to_owned())]);
    }
}
