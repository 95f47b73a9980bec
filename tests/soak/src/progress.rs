//! A bar that says how far a campaign has come. There is none where nobody looks at a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How long a campaign goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Rounds(u64),
    Time(Duration),
}

#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(length: Length) -> Self {
        let (length, template) = match length {
            Length::Rounds(rounds) => (rounds, "{bar:30} {pos}/{len} {msg} {eta}"),
            Length::Time(time) => (time.as_secs(), "{bar:30} {elapsed}/{len} s {msg}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(length).with_style(style))
    }

    /// So many rounds, or seconds, are over.
    pub(crate) fn set(&self, position: u64, message: impl ToString) {
        self.0.set_position(position);
        self.0.set_message(message.to_string());
    }

    /// One more is over.
    pub(crate) fn advance(&self, message: impl ToString) {
        self.set(self.0.position() + 1, message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
