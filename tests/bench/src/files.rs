//! The files of a store: what they take on disk, and how they leave the page cache.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK: u64 = 512;

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.append(&mut self::files(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Bytes on disk, which may be fewer than the files are long.
pub(crate) fn disk_bytes(folder: &Path) -> io::Result<u64> {
    files(folder)?.iter().map(|path| Ok(fs::metadata(path)?.blocks() * BLOCK)).sum()
}

/// Has the next to read them read from disk. Only these files leave the cache, not those of everybody on the machine.
#[cfg(target_os = "linux")]
pub(crate) fn leave_page_cache(folder: &Path) -> io::Result<()> {
    for path in files(folder)? {
        let file = fs::File::open(path)?;
        // What is not on disk yet stays.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn leave_page_cache(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_folders_count_and_holes_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("inner")).expect("a folder");
        fs::write(folder.path().join("inner/file"), vec![7; 1 << 16]).expect("writes");
        let sparse = fs::File::create(folder.path().join("sparse")).expect("a file");
        sparse.set_len(1 << 30).expect("a length");
        leave_page_cache(folder.path()).expect("leaves");
        let bytes = disk_bytes(folder.path()).expect("bytes");
        assert!((1 << 16..1 << 20).contains(&bytes), "{bytes}");
    }
}
