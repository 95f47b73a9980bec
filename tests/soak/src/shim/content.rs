//! What a file holds: what a power cut cannot take away, and what it can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use super::log::Bytes;

const PAGE: usize = 4096;

type Page = Rc<[u8]>;

/// The bytes of a file. Pages that are not there are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pages: BTreeMap<usize, Page>,
    length: usize,
}

impl Content {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let pages = bytes.chunks(PAGE).enumerate().filter(|(_, chunk)| !is_zero(chunk));
        Self { pages: pages.map(|(index, chunk)| (index, padded(chunk))).collect(), length: bytes.len() }
    }

    pub(super) fn write_to(&self, path: &Path) -> io::Result<File> {
        let mut file = File::create(path)?;
        file.set_len(self.length as u64)?;
        for (index, page) in &self.pages {
            let at = index * PAGE;
            file.seek(SeekFrom::Start(at as u64))?;
            file.write_all(&page[..(self.length - at).min(PAGE)])?;
        }
        Ok(file)
    }

    /// Without what means nothing: what is behind the end, and pages of zeros.
    fn normal(mut self) -> Self {
        let length = self.length;
        if let Some(page) = self.pages.get_mut(&(length / PAGE)) {
            *page = padded(&page[..length % PAGE]);
        }
        self.pages.retain(|index, page| index * PAGE < length && !is_zero(page));
        self
    }
}

/// What a power cut does to files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// How much of what is not synced is kept, from 0 to 1.
    pub(super) kept: f64,
    /// What is kept or dropped as a whole.
    pub(super) block_bytes: usize,
}

/// How much was not synced at a power cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    pub(super) dropped: u64,
    pub(super) kept: u64,
}

/// A file, as its process sees it and as its disk has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    durable: Content,
    /// For each page that is not synced, what was written, oldest first. The disk may have any of it.
    unsynced: BTreeMap<usize, Vec<Page>>,
    /// Lengths that the file had since its last sync.
    lengths: Vec<usize>,
    /// Pages whose sync has failed. No later sync tries again, unless they are written to again: so does Linux.
    given_up: BTreeSet<usize>,
}

impl Data {
    pub(super) fn new(durable: Content) -> Self {
        Self { durable, ..Self::default() }
    }

    pub(super) fn length(&self) -> usize {
        self.lengths.last().copied().unwrap_or(self.durable.length)
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &Bytes) {
        let length = match bytes {
            Bytes::These(bytes) => bytes.len(),
            Bytes::Zeros(length) => *length,
        };
        let end = offset + length;
        let mut zeros = None;
        for index in offset / PAGE..end.div_ceil(PAGE) {
            let start = index * PAGE;
            let (from, to) = (offset.max(start), end.min(start + PAGE));
            let page = match bytes {
                Bytes::Zeros(_) if to - from == PAGE => zeros.get_or_insert_with(|| padded(&[])).clone(),
                _ => {
                    let mut page = self.page(index).map_or_else(|| vec![0; PAGE], |page| page.to_vec());
                    match bytes {
                        Bytes::These(bytes) => {
                            page[from - start..to - start].copy_from_slice(&bytes[from - offset..to - offset]);
                        }
                        Bytes::Zeros(_) => page[from - start..to - start].fill(0),
                    }
                    page.into()
                }
            };
            self.set_page(index, page);
        }
        if end > self.length() {
            self.lengths.push(end);
        }
    }

    pub(super) fn resize(&mut self, length: usize) {
        let old = self.length();
        if length == old {
            return;
        }
        // What is cut off does not come back when the file grows again.
        let beyond = length / PAGE..old.div_ceil(PAGE).max(length / PAGE);
        let pages: BTreeSet<usize> = self
            .durable
            .pages
            .range(beyond.clone())
            .map(|(index, _)| *index)
            .chain(self.unsynced.range(beyond).map(|(index, _)| *index))
            .collect();
        for index in pages {
            let page = self.page(index).cloned().unwrap_or_else(|| padded(&[]));
            self.set_page(index, padded(&page[..length.saturating_sub(index * PAGE).min(PAGE)]));
        }
        self.lengths.push(length);
    }

    /// As the process sees it.
    fn page(&self, index: usize) -> Option<&Page> {
        self.unsynced.get(&index).and_then(|versions| versions.last()).or_else(|| self.durable.pages.get(&index))
    }

    fn set_page(&mut self, index: usize, page: Page) {
        self.given_up.remove(&index);
        self.unsynced.entry(index).or_default().push(page);
    }

    pub(super) fn sync(&mut self) {
        self.durable.length = self.length();
        self.lengths.clear();
        let given_up = &self.given_up;
        let synced = self.unsynced.extract_if(.., |index, _| !given_up.contains(index));
        self.durable.pages.extend(synced.filter_map(|(index, mut versions)| Some((index, versions.pop()?))));
    }

    /// A sync has failed.
    pub(super) fn give_up(&mut self) {
        self.given_up.extend(self.unsynced.keys());
    }

    /// As the process sees it.
    pub(super) fn content(&self) -> Content {
        let mut content = Content { pages: self.durable.pages.clone(), length: self.length() };
        let newest = self.unsynced.iter().filter_map(|(index, versions)| Some((*index, versions.last()?.clone())));
        content.pages.extend(newest);
        content.normal()
    }

    /// What is left of it after a power cut.
    pub(super) fn after(&self, cut: Cut, random: &mut fastrand::Rng, losses: &mut Losses) -> Content {
        let mut left = self.durable.clone();
        for (&index, versions) in &self.unsynced {
            let mut page = left.pages.get(&index).map_or_else(|| vec![0; PAGE], |page| page.to_vec());
            for at in (0..PAGE).step_by(cut.block_bytes) {
                let block = at..at + cut.block_bytes;
                if random.f64() < cut.kept {
                    page[block.clone()].copy_from_slice(&any(versions, random)[block]);
                    losses.kept += 1;
                } else {
                    losses.dropped += 1;
                }
            }
            left.pages.insert(index, page.into());
        }
        if !self.lengths.is_empty() && random.f64() < cut.kept {
            left.length = *any(&self.lengths, random);
        }
        left.normal()
    }
}

/// Mostly the last one, which the process left; else one of those before it.
fn any<'a, T>(versions: &'a [T], random: &mut fastrand::Rng) -> &'a T {
    let last = versions.len() - 1;
    &versions[if random.u8(..4) == 0 { random.usize(..=last) } else { last }]
}

fn padded(bytes: &[u8]) -> Page {
    let mut page = vec![0; PAGE];
    page[..bytes.len()].copy_from_slice(bytes);
    page.into()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_DROPPED: Cut = Cut { kept: 0.0, block_bytes: PAGE };

    fn data(parts: &[(usize, &[u8])]) -> Data {
        let mut data = Data::default();
        parts.iter().for_each(|(offset, bytes)| data.write(*offset, &Bytes::These(bytes.to_vec())));
        data
    }

    fn left(data: &Data, cut: Cut, seed: u64) -> Content {
        data.after(cut, &mut fastrand::Rng::with_seed(seed), &mut Losses::default())
    }

    #[test]
    fn what_is_not_synced_is_gone_and_what_is_synced_is_not() {
        let mut data = data(&[(0, b"first")]);
        data.sync();
        data.write(5, &Bytes::These(b" second".to_vec()));
        assert_eq!(data.content(), Content::new(b"first second"));
        assert_eq!(left(&data, ALL_DROPPED, 0), Content::new(b"first"));
        data.sync();
        assert_eq!(left(&data, ALL_DROPPED, 0), Content::new(b"first second"));
    }

    #[test]
    fn each_block_is_kept_or_dropped_by_itself() {
        let data = data(&[(0, &[1; 3 * PAGE])]);
        let cut = Cut { kept: 0.5, block_bytes: PAGE };
        let found: BTreeSet<Vec<usize>> =
            (0..200).map(|seed| left(&data, cut, seed)).map(|content| content.pages.into_keys().collect()).collect();
        assert!(found.contains(&vec![2]) && found.contains(&vec![0, 1, 2]) && found.contains(&vec![]), "{found:?}");
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut data = data(&[(0, &[1; PAGE + 9])]);
        data.sync();
        data.resize(4);
        data.resize(5 * PAGE);
        data.resize(PAGE + 1);
        let mut expected = vec![1; 4];
        expected.resize(PAGE + 1, 0);
        assert_eq!(data.content(), Content::new(&expected));
        assert_eq!(left(&data, ALL_DROPPED, 0), Content::new(&[1; PAGE + 9]));
        data.sync();
        assert_eq!(left(&data, ALL_DROPPED, 0), Content::new(&expected));
    }

    #[test]
    fn a_sync_after_one_that_has_failed_has_only_what_was_written_again() {
        let mut data = data(&[(0, &[1; 2 * PAGE])]);
        data.sync();
        data.write(0, &Bytes::These(vec![2; 2 * PAGE]));
        data.give_up();
        data.write(0, &Bytes::These(vec![3]));
        data.sync();
        let mut expected = vec![1; 2 * PAGE];
        expected[..PAGE].fill(2);
        expected[0] = 3;
        assert_eq!(left(&data, ALL_DROPPED, 0), Content::new(&expected));
    }
}
