//! What the machine can do: a bare log with group commit, one overwrite and sync after the other, and encoding alone.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::{Condvar, Mutex};

use super::{Peer, Totals};
use crate::objects::{Account, encode};

/// What a commit of two accounts comes to.
const RECORD: usize = 400;

/// How much is made ready for writing.
const PREALLOCATED: usize = if cfg!(test) { 2 << 20 } else { 64 << 20 };

macro_rules! only_this {
    () => {
        fn fill(&self) {}
        fn transfer(&self, _: u32, _: u32) -> u64 {
            self.increment()
        }
        fn read(&self, _: [u32; 3]) -> i64 {
            0
        }
        fn change_field(&self) -> u64 {
            self.increment()
        }
        fn totals(&self) -> Totals {
            Totals { balances: Vec::new(), wide: 0 }
        }
    };
}

/// Records of [`RECORD`] bytes; all that wait are written and synced together by one of them.
pub(super) struct Log {
    file: File,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// How many records were given, and how many are on disk.
    given: u64,
    durable: u64,
    is_writing: bool,
    end: u64,
}

impl Log {
    pub(super) fn open(folder: &Path) -> Self {
        let path = folder.join("log");
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).expect("a file");
        file.write_all(&vec![0; PREALLOCATED]).expect("writes");
        file.sync_all().expect("syncs");
        Self { file, state: Mutex::default(), synced: Condvar::new() }
    }
}

impl Peer for Log {
    fn increment(&self) -> u64 {
        let mut state = self.state.lock();
        state.waiting.extend_from_slice(&[7; RECORD]);
        state.given += 1;
        let own = state.given;
        while state.durable < own {
            if state.is_writing {
                self.synced.wait(&mut state);
                continue;
            }
            state.is_writing = true;
            let (group, up_to) = (std::mem::take(&mut state.waiting), state.given);
            let at = state.end % (PREALLOCATED as u64 - (1 << 20));
            state.end = at + group.len() as u64;
            parking_lot::MutexGuard::unlocked(&mut state, || {
                self.file.write_all_at(&group, at).expect("writes");
                self.file.sync_data().expect("syncs");
            });
            state.durable = up_to;
            state.is_writing = false;
            self.synced.notify_all();
        }
        0
    }

    only_this!();
}

/// Overwrites 4 KiB and syncs, each time.
pub(super) struct Overwrite {
    file: File,
}

impl Overwrite {
    pub(super) fn open(folder: &Path) -> Self {
        let path = folder.join("overwritten");
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).expect("a file");
        file.write_all(&[0; 4096]).expect("writes");
        file.sync_all().expect("syncs");
        Self { file }
    }
}

impl Peer for Overwrite {
    fn increment(&self) -> u64 {
        self.file.write_all_at(&[7; 4096], 0).expect("writes");
        self.file.sync_data().expect("syncs");
        0
    }

    only_this!();
}

/// Encodes an account.
pub(super) struct Encode {
    account: Account,
}

impl Encode {
    pub(super) fn new() -> Self {
        Self { account: Account::new(0) }
    }
}

impl Peer for Encode {
    fn increment(&self) -> u64 {
        std::hint::black_box(encode(std::hint::black_box(&self.account)));
        0
    }

    only_this!();
}
