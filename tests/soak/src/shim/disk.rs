//! A folder as its disk has it, told from what the shim has noted, and what a power cut leaves of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::content::{Content, Cut, Data, Losses};
use super::log::{self, Entry};
use super::names::{Id, Kept, Names, Place, Tree};
use crate::campaign::{Failure, Result, Run};

/// The folder itself.
const ROOT: Id = 0;

#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// Files; the others are folders.
    files: HashMap<Id, Data>,
    names: Names,
    inodes: HashMap<u64, Id>,
    next: Id,
}

impl Disk {
    /// An empty folder.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        Self { folder: folder.to_owned(), files: HashMap::new(), names: Names::default(), inodes: HashMap::new(), next: 1 }
            .made(&Tree::new(), &HashMap::new())
    }

    /// Makes the folder such that it has these names and files, and nothing else, all of it durably.
    fn made(mut self, tree: &Tree, files: &HashMap<Id, Content>) -> Result<Self> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir_all(&self.folder)?;
        self.inodes = HashMap::from([(fs::metadata(&self.folder)?.ino(), ROOT)]);
        (self.files, self.names) = Default::default();
        let folder = self.folder.clone();
        self.make_below(ROOT, &folder, tree, files)?;
        self.names.current = self.names.durable.clone();
        Ok(self)
    }

    fn make_below(&mut self, folder: Id, path: &Path, tree: &Tree, files: &HashMap<Id, Content>) -> Result<()> {
        for ((_, name), id) in tree.range((folder, String::new())..(folder + 1, String::new())) {
            let path = path.join(name);
            match files.get(id) {
                Some(content) => {
                    content.write_to(&path)?;
                    self.files.insert(*id, Data::new(content.clone()));
                }
                None => fs::create_dir(&path)?,
            }
            self.inodes.insert(fs::metadata(&path)?.ino(), *id);
            self.names.durable.insert((folder, name.clone()), *id);
            if !files.contains_key(id) {
                self.make_below(*id, &path, tree, files)?;
            }
        }
        Ok(())
    }

    /// Takes in what a process has done that has ended; gives the calls that failed on purpose.
    pub(super) fn hear(&mut self, log: &Path) -> Result<Vec<String>> {
        let mut failed = Vec::new();
        for entry in log::read(log)? {
            match entry {
                Entry::Failed { what } => failed.push(what),
                entry if self.carry_out(&entry).is_some() => {}
                entry => return Err(Failure::not_run(format!("the shim's log makes no sense: {entry:.200?}"))),
            }
        }
        Ok(failed)
    }

    fn carry_out(&mut self, entry: &Entry) -> Option<()> {
        match *entry {
            Entry::Written { inode, offset, ref bytes } => self.file(inode)?.write(offset, bytes),
            Entry::Resized { inode, length } => self.file(inode)?.resize(length),
            Entry::Synced { inode } => {
                let id = *self.inodes.get(&inode)?;
                match self.files.get_mut(&id) {
                    Some(file) => file.sync(),
                    None => self.names.sync(id),
                }
            }
            Entry::Unsynced { inode } => {
                let id = *self.inodes.get(&inode)?;
                // Names whose sync has failed are synced by the next one, or by nobody.
                if let Some(file) = self.files.get_mut(&id) {
                    file.give_up();
                }
            }
            Entry::Made { inode, ref name, is_folder } => {
                let id = self.next;
                self.next += 1;
                self.inodes.insert(inode, id);
                if !is_folder {
                    self.files.insert(id, Data::default());
                }
                self.names.set(vec![(self.place(name)?, Some(id))]);
            }
            Entry::Renamed { ref from, ref to } => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                let id = *self.names.current.get(&from)?;
                self.names.set(vec![(from, None), (to, Some(id))]);
            }
            Entry::Removed { ref name } => self.names.set(vec![(self.place(name)?, None)]),
            Entry::Linked { ref from, ref to } => {
                let id = *self.names.current.get(&self.place(from)?)?;
                self.names.set(vec![(self.place(to)?, Some(id))]);
            }
            Entry::Failed { .. } => {}
        }
        Some(())
    }

    fn file(&mut self, inode: u64) -> Option<&mut Data> {
        self.files.get_mut(self.inodes.get(&inode)?)
    }

    fn place(&self, path: &str) -> Option<Place> {
        let (folders, name) = path.rsplit_once('/').map_or((None, path), |(folders, name)| (Some(folders), name));
        let mut folder = ROOT;
        for name in folders.into_iter().flat_map(|folders| folders.split('/')) {
            folder = *self.names.current.get(&(folder, name.to_owned()))?;
        }
        Some((folder, name.to_owned()))
    }

    /// That the folder has what it should, as far as processes see it: else, the shim has overlooked something.
    pub(crate) fn check(&self) -> Result<()> {
        let mut expected = BTreeMap::new();
        self.list(ROOT, &self.folder, &mut expected);
        let mut found = Vec::new();
        list_files(&self.folder, &mut found)?;
        found.sort();
        let overlooked = |path: &Path| Err(Failure::not_run(format!("the shim has overlooked something: {}", path.display())));
        if let Some(path) = found.iter().find(|path| !expected.contains_key(*path)) {
            return overlooked(path);
        }
        for (path, file) in expected {
            let Ok(found) = fs::metadata(&path) else { return overlooked(&path) };
            let is_right = match file {
                None => found.is_dir(),
                Some(file) => file.length() as u64 == found.len() && file.content() == Content::new(&fs::read(&path)?),
            };
            if !is_right {
                return overlooked(&path);
            }
        }
        Ok(())
    }

    fn list<'a>(&'a self, folder: Id, path: &Path, into: &mut BTreeMap<PathBuf, Option<&'a Data>>) {
        for ((_, name), id) in self.names.current.range((folder, String::new())..(folder + 1, String::new())) {
            let (path, file) = (path.join(name), self.files.get(id));
            if file.is_none() {
                self.list(*id, &path, into);
            }
            into.insert(path, file);
        }
    }

    /// Cuts the power. `mixes`: blocks that are not synced are kept or dropped at random, instead of all dropped. Tells
    /// for people what it did.
    pub(crate) fn cut(self, mixes: bool, run: &mut Run) -> Result<(Self, String)> {
        let random = &mut run.random;
        let kept = if mixes { random.f64() } else { 0.0 };
        let cut = Cut { kept, block_bytes: if random.bool() { 512 } else { 4096 } };
        let part = random.f64();
        let names = match random.u8(..4) {
            0 => Kept::Any(0.0),
            1 => Kept::First(1.0),
            2 => Kept::First(part),
            _ => Kept::Any(part),
        };
        let (tree, undone) = self.names.after(names, random);
        let mut losses = Losses::default();
        // In their order, so that a seed repeats it.
        let mut ids: Vec<&Id> = self.files.keys().collect();
        ids.sort_unstable();
        let files = ids.into_iter().map(|id| (*id, self.files[id].after(cut, random, &mut losses))).collect();
        for (figure, number) in [
            ("cuts", 1),
            ("mixed", u64::from(losses.dropped > 0 && losses.kept > 0)),
            ("blocks_dropped", losses.dropped),
            ("blocks_kept", losses.kept),
            ("names_undone", undone),
        ] {
            run.figures.add(figure, number);
        }
        let what = format!(
            "{:.0} % of {} bytes each kept, {} dropped and {} kept; names {names:?}, {undone} calls undone",
            kept * 100.0,
            cut.block_bytes,
            losses.dropped,
            losses.kept
        );
        Ok((self.made(&tree, &files)?, what))
    }

    /// Copies what the folder had when it was last heard of.
    pub(crate) fn copy_to(self, folder: &Path) -> Result<()> {
        let tree = self.names.current.clone();
        let files = self.files.iter().map(|(id, file)| (*id, file.content())).collect();
        Self { folder: folder.to_owned(), ..self }.made(&tree, &files)?;
        Ok(())
    }
}

fn list_files(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list_files(&path, into)?;
        }
        into.push(path);
    }
    Ok(())
}
