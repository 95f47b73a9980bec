//! What the targets share: types to read records as, what a server was asked, and a limit to what may be allocated.

pub mod asked;
pub mod sample;

use std::path::Path;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How much any input may make the library allocate at once, and how much more for each of its bytes.
const AT_ONCE: usize = 64 << 20;
const FOR_A_BYTE: usize = 1 << 10;

/// Runs `read`, which must not take more memory than `bytes` allow.
pub fn bounded<T>(bytes: &[u8], read: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = read();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let most = AT_ONCE + bytes.len() * FOR_A_BYTE;
    assert!(taken <= most, "oversized: {} bytes have made it allocate {taken} bytes", bytes.len());
    result
}

/// Takes the first part off an input that has several, each but the last behind its length in two bytes. What is said to be longer than
/// there is, is the rest.
pub fn part<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = input.split_first_chunk::<2>().unwrap_or((&[0, 0], &[]));
    let (part, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
    *input = rest;
    part
}

/// Runs `work` in a folder that is empty, and empties it again.
pub fn in_folder<T>(work: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().expect("a temporary folder");
    work(folder.path())
}
