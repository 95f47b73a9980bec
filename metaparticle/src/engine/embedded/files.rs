//! Files of a store: their errors, and what makes them last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{Error, ErrorKind};

pub(super) fn io_error(path: &Path, what: &str, error: io::Error) -> Error {
    Error::with_source(ErrorKind::Engine, format!("the store {} failed: {what}", path.display()), error)
}

/// Syncs a file, or the names in a folder.
pub(super) fn sync_path(path: &Path) -> io::Result<()> {
    ignore_gone(File::open(path).and_then(|file| file.sync_all()))
}

/// Does something with each file below a folder, and syncs the names of all.
pub(super) fn for_each_file(folder: &Path, each: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in ignore_gone(fs::read_dir(folder).map(Some))?.into_iter().flatten() {
        let entry = entry?;
        let is_folder = ignore_gone(entry.file_type().map(|kind| kind.is_dir()))?;
        if is_folder { for_each_file(&entry.path(), each)? } else { each(&entry.path())? }
    }
    sync_path(folder)
}

/// Writes a file again, as it is, and syncs it.
pub(super) fn write_again(file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut part = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut part)?;
        if read == 0 {
            return file.sync_all();
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&part[..read])?;
        at += read as u64;
    }
}

/// What was removed meanwhile is not to be synced, nor is a folder on a system that cannot open folders.
pub(super) fn ignore_gone<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(T::default()),
        result => result,
    }
}

/// The folder that `path` is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
