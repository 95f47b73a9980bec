//! Entries that the map does not have yet, and how many bytes they take.

use std::collections::VecDeque;

/// Entries that are released together.
struct Stretch {
    last_commit: u64,
    bytes: u64,
}

pub(super) struct Unreleased {
    stretches: VecDeque<Stretch>,
    bytes: u64,
    /// Up to so many bytes are one stretch, so that the count takes little memory.
    stretch_bytes: u64,
}

impl Unreleased {
    pub(super) fn new(segment_bytes: usize) -> Self {
        Self { stretches: VecDeque::new(), bytes: 0, stretch_bytes: segment_bytes as u64 / 100 }
    }

    /// Counts an entry.
    pub(super) fn add(&mut self, last_commit: u64, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes += bytes;
        match self.stretches.back_mut() {
            Some(stretch) if stretch.bytes + bytes <= self.stretch_bytes => {
                *stretch = Stretch { last_commit, bytes: stretch.bytes + bytes };
            }
            _ => self.stretches.push_back(Stretch { last_commit, bytes }),
        }
    }

    /// Counts entries up to a commit no longer, but for those that are together with newer ones.
    pub(super) fn release(&mut self, commit: u64) {
        while let Some(stretch) = self.stretches.pop_front_if(|stretch| stretch.last_commit <= commit) {
            self.bytes -= stretch.bytes;
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
