//! What stands in the way of opening sled's files, and is no loss.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use super::super::files::io_error;
use super::super::folder::{Folder, wait_for_lock};
use crate::error::Result;

/// sled gives up its lock a little after it was dropped.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// What a snapshot is called until it is written.
const UNFINISHED: &str = "generating";

/// Gives snapshots their names that are whole, and removes those that sled was cut short while writing, which it cannot open.
///
/// sled syncs a snapshot, renames it, and then fills with zeros what it makes needless. A power cut may take the name and leave the
/// zeros; without the snapshot, all would be lost. One that is not whole was not renamed yet, and is not needed.
pub(super) fn finish_snapshots(folder: &Folder) -> Result<()> {
    let Ok(files) = fs::read_dir(folder.files()) else { return Ok(()) };
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == UNFINISHED)) {
        let content = fs::read(&file).map_err(|error| io_error(&file, "it cannot be read", error))?;
        let finished = if is_whole(&content) { fs::rename(&file, file.with_extension("")) } else { fs::remove_file(&file) };
        finished.map_err(|error| io_error(&file, "it cannot be renamed or removed", error))?;
    }
    Ok(())
}

/// A snapshot ends with its length, in 8 bytes, and its CRC-32.
fn is_whole(snapshot: &[u8]) -> bool {
    let parts = snapshot.split_last_chunk::<4>().and_then(|(rest, checksum)| Some((rest.split_last_chunk::<8>()?, checksum)));
    parts.is_some_and(|((content, length), checksum)| {
        u64::from_le_bytes(*length) == content.len() as u64 && u32::from_le_bytes(*checksum) == crc32fast::hash(content)
    })
}

/// Puts sled's snapshots aside; sled can do without. Tells whether there were any.
pub(super) fn put_snapshots_aside(folder: &Folder) -> Result<bool> {
    let aside = folder.aside();
    let Ok(files) = fs::read_dir(folder.files()) else { return Ok(false) };
    let mut any = false;
    for file in files.filter_map(|file| file.ok()).filter(|file| file.file_name().to_string_lossy().starts_with("snap.")) {
        let moved = fs::create_dir_all(&aside).and_then(|()| fs::rename(file.path(), aside.join(file.file_name())));
        moved.map_err(|error| io_error(&file.path(), "it cannot be put aside", error))?;
        any = true;
    }
    Ok(any)
}

/// Waits until nobody has sled's own lock; we have ours, so that it can only be a handle that is being dropped.
pub(super) fn wait_for_sled_lock(path: &Path, folder: &Folder) -> Result<()> {
    match OpenOptions::new().read(true).write(true).open(folder.files().join("db")) {
        Ok(db) => wait_until_unlocked(path, &db),
        // There is none yet.
        Err(_) => Ok(()),
    }
}

/// Given up before the file is closed: a program that is being started has a copy of it for a moment, and would have the lock with it.
fn wait_until_unlocked(path: &Path, file: &File) -> Result<()> {
    wait_for_lock(path, file, LOCK_PATIENCE)?;
    file.unlock().map_err(|error| io_error(path, "its file cannot be unlocked", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_whole_with_its_length_and_its_checksum() {
        let snapshot =
            |content: &[u8], length: u64, checksum: u32| [content, &length.to_le_bytes(), &checksum.to_le_bytes()].concat();
        let checksum = crc32fast::hash(b"content");
        assert!(is_whole(&snapshot(b"content", 7, checksum)));
        assert!(!is_whole(&snapshot(b"content", 8, checksum)));
        assert!(!is_whole(&snapshot(b"content", 7, checksum + 1)));
        assert!(!is_whole(&snapshot(b"content", 7, checksum)[..18]));
    }

    #[test]
    fn a_copy_of_the_file_that_was_waited_for_does_not_have_its_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let file = File::create(&path).expect("a file");
        let copy = file.try_clone().expect("a copy");
        wait_until_unlocked(&path, &file).expect("it is free");
        drop(file);
        File::open(&path).expect("opens").try_lock().expect("nobody has it");
        drop(copy);
    }
}
