//! What stands in the way of opening sled's files, and is no loss.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use super::super::files::io_error;
use super::super::folder::{Folder, wait_for_lock};
use crate::error::Result;

/// sled gives up its lock a little after it was dropped.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Removes what sled cannot open after it was cut short while writing a snapshot; the snapshot is not needed.
pub(super) fn remove_unfinished_snapshots(folder: &Folder) -> Result<()> {
    let Ok(files) = fs::read_dir(folder.files()) else { return Ok(()) };
    for file in files.filter_map(|file| file.ok()) {
        if file.file_name().to_string_lossy().ends_with(".generating") {
            fs::remove_file(file.path()).map_err(|error| io_error(&file.path(), "it cannot be removed", error))?;
        }
    }
    Ok(())
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
        Ok(db) => wait_for_lock(path, &db, LOCK_PATIENCE),
        // There is none yet.
        Err(_) => Ok(()),
    }
}
