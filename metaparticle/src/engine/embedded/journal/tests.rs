//! What becomes of a journal that is closed, filled, cut or damaged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::entry::{ALIGNMENT, HEAD_BYTES};
use super::segment::{HEADER_BYTES, Layout, is_zero};
use super::{Journal, SEGMENT_BYTES, entry};
use crate::engine::embedded::map::{Group, Log};
use crate::engine::{Record, RecordKey, Version};
use crate::error::{Error, ErrorKind, Result};

const STORE: u128 = 1 << 100 | 5;
/// Room for a few entries, so that there are many segments.
const SEGMENT: usize = 1024;

type Plain = (u64, Vec<(RecordKey, Option<Record>)>);
/// The files of a folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn layout(path: &Path) -> Layout {
    Layout { folder: path.to_owned(), store_id: STORE, segment_bytes: SEGMENT }
}

fn open_layout(layout: Layout, new: bool, after: u64) -> Result<(Journal, Vec<Plain>)> {
    let mut groups = Vec::new();
    if new {
        Journal::make_in(&layout)?;
    }
    let journal = Journal::open_in(layout, after, &mut |group| {
        groups.push((group.last_commit, group.changes));
        Ok(())
    })?;
    Ok((journal, groups))
}

fn make(path: &Path) -> Journal {
    open_layout(layout(path), true, 0).expect("makes").0
}

fn reopen(path: &Path, after: u64) -> (Journal, Vec<Plain>) {
    open_layout(layout(path), false, after).expect("opens")
}

/// A group that sets one record of `length` bytes and removes another.
fn group(commit: u64, length: usize) -> Group {
    let bytes: Vec<u8> = (0..length).map(|i| (i as u64 * 31 + commit) as u8).collect();
    let set = Record { version: Version::new(commit.into()), bytes: bytes.into() };
    let changes = vec![(RecordKey::new(*b"set"), Some(set)), (RecordKey::new(format!("gone{commit}").into_bytes()), None)];
    Group { changes, last_commit: commit }
}

fn plain(commit: u64, length: usize) -> Plain {
    let group = group(commit, length);
    (group.last_commit, group.changes)
}

/// Lengths that leave rests of all kinds in segments.
fn length(commit: u64) -> usize {
    (commit as usize * 37) % 200
}

fn append(journal: &mut Journal, commits: std::ops::RangeInclusive<u64>) {
    commits.for_each(|commit| journal.append(&group(commit, length(commit))).expect("appends"));
}

fn plains(commits: std::ops::RangeInclusive<u64>) -> Vec<Plain> {
    commits.map(|commit| plain(commit, length(commit))).collect()
}

fn files(path: &Path) -> Files {
    let paths = fs::read_dir(path).expect("lists").map(|file| file.expect("a file").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("reads"))).collect()
}

fn restore(path: &Path, to: &Files) {
    let now = files(path);
    now.keys().filter(|file| !to.contains_key(*file)).for_each(|file| fs::remove_file(file).expect("removes"));
    to.iter().filter(|(file, bytes)| now.get(*file) != Some(bytes)).for_each(|(file, bytes)| write(file, bytes));
}

/// Writes a file in place: emptying it first makes the next sync slow.
fn write(file: &Path, bytes: &[u8]) {
    let mut opened = File::options().write(true).create(true).truncate(false).open(file).expect("opens");
    opened.write_all(bytes).and_then(|()| opened.set_len(bytes.len() as u64)).expect("writes");
}

/// That it is refused and left alone; what the error says.
fn is_corrupt(path: &Path, after: u64, what: &str) -> String {
    let before = files(path);
    let mut replayed = 0;
    let opened = Journal::open_in(layout(path), after, &mut |_| {
        replayed += 1;
        Ok(())
    });
    let error = opened.err().unwrap_or_else(|| panic!("{what}: it opens"));
    assert!(error.is_corrupt() && error.to_string().contains(&*path.to_string_lossy()), "{what}: {error:?}");
    assert_eq!(replayed, 0, "{what}: something was replayed");
    assert_eq!(files(path), before, "{what}: something was changed");
    error.to_string()
}

/// A journal whose segments were all used before, and the commits that it has released and has appended last.
fn reused(path: &Path) -> (Journal, u64, u64) {
    let mut journal = make(path);
    append(&mut journal, 1..=40);
    journal.release(30).expect("releases");
    append(&mut journal, 41..=64);
    journal.release(60).expect("releases");
    append(&mut journal, 65..=66);
    (journal, 60, 66)
}

#[test]
fn groups_come_back_in_order() {
    let folder = folder();
    let mut journal = make(folder.path());
    let mut released = 0;
    for commit in 1..=200 {
        append(&mut journal, commit..=commit);
        if commit % 7 == 0 {
            drop(journal);
            let (opened, groups) = reopen(folder.path(), released);
            assert_eq!(groups, plains(released + 1..=commit));
            assert_eq!(opened.last_commit, commit);
            journal = opened;
        }
        if commit % 31 == 0 {
            released = commit - 9;
            journal.release(released).expect("releases");
        }
    }
    assert!(journal.segments[0].number > 20, "segments were not used again");
}

#[test]
fn what_the_map_has_is_not_replayed() {
    let folder = folder();
    append(&mut make(folder.path()), 1..=20);
    for after in 0..=25 {
        let (journal, groups) = reopen(folder.path(), after);
        assert_eq!(groups, plains(after + 1..=20));
        assert_eq!(journal.last_commit, after.max(20));
        let bytes = |&(commit, _): &Plain| entry::entry_bytes(&group(commit, length(commit))) as u64;
        assert_eq!(journal.bytes(), groups.iter().map(bytes).sum::<u64>());
    }
}

/// Every way to tear what was added to the files `before`: its first bytes, and then zeros, rubbish, or what was there.
fn torn(before: &Files, after: &Files) -> Vec<(String, Files)> {
    let (path, whole) = after.iter().find(|(path, bytes)| before.get(*path) != Some(bytes)).expect("a changed file");
    let old = &before[path];
    let start = whole.iter().zip(old).position(|(new, old)| new != old).expect("an entry") / ALIGNMENT * ALIGNMENT;
    let end = whole.iter().zip(old).rposition(|(new, old)| new != old).expect("an entry") + 1;
    let mut all = Vec::new();
    for cut in start..end {
        let rests = [("zeros", vec![0; end - cut]), ("rubbish", vec![0xa5; end - cut]), ("old bytes", old[cut..end].to_vec())];
        for (what, rest) in rests {
            let mut bytes = whole.clone();
            bytes[cut..end].copy_from_slice(&rest);
            if bytes != *whole {
                let mut files = after.clone();
                files.insert(path.clone(), bytes);
                all.push((format!("cut at {} of {}, then {what}", cut - start, end - start), files));
            }
        }
    }
    all
}

#[test]
fn a_torn_end_is_cut_off_at_every_byte() {
    // One that goes on in the segment, and one that begins the next.
    for (length, begins) in [(0, false), (SEGMENT - 200, true)] {
        let folder = folder();
        let path = folder.path();
        let (mut journal, released, last) = reused(path);
        let (before, segment) = (files(path), journal.current);
        journal.append(&group(last + 1, length)).expect("appends");
        assert_eq!(journal.current > segment, begins);
        let end = journal.end;
        drop(journal);
        let torn = torn(&before, &files(path));
        let at = if begins { HEADER_BYTES } else { end - entry::entry_bytes(&group(last + 1, length)) };
        assert!(!before.values().any(|bytes| is_zero(&bytes[at..])), "there are no old bytes");
        // Every cut of the small entry; of the large one, those of its head and some of its body.
        let some = |&(at, _): &(usize, _)| !begins || at < 3 * HEAD_BYTES || at % 97 == 0;
        for (_, (what, files)) in torn.iter().enumerate().filter(some) {
            restore(path, files);
            let (mut journal, groups) = reopen(path, released);
            assert_eq!(groups, plains(released + 1..=last), "{what}");
            assert_eq!(journal.last_commit, last, "{what}");
            append(&mut journal, last + 1..=last + 1);
            drop(journal);
            assert_eq!(reopen(path, released).1, plains(released + 1..=last + 1), "{what}, then appended to");
        }
    }
}

#[test]
fn nothing_is_left_of_what_was_cut_off() {
    let folder = folder();
    let path = folder.path();
    let (mut journal, released, last) = reused(path);
    let before = files(path);
    append(&mut journal, last + 1..=last + 1);
    drop(journal);
    let torn = torn(&before, &files(path));
    restore(path, &torn[torn.len() / 2].1);
    let journal = reopen(path, released).0;
    let now = files(path);
    let rests = [(journal.current, journal.end), (journal.current + 1, HEADER_BYTES)];
    for (place, rest) in rests {
        assert!(is_zero(&now[&journal.segments[place].path][rest..]));
    }
}

#[test]
fn what_a_torn_record_contains_is_not_taken_for_an_entry() {
    let folder = folder();
    let path = folder.path();
    let mut journal = make(path);
    append(&mut journal, 1..=1);
    let mut inner = Vec::new();
    entry::encode(&group(9, 30), 2, journal.segments[0].seed, &mut inner);
    // Where an entry could begin: the record's bytes follow a head, two lengths, the key, a tag and a version.
    let bytes = [vec![0; ALIGNMENT - (HEAD_BYTES + 4 + 3 + 1 + 8 + 4)], inner].concat();
    let record = Record { version: Version::new(2), bytes: bytes.into() };
    let before = files(path);
    journal.append(&Group { changes: vec![(RecordKey::new(*b"key"), Some(record))], last_commit: 2 }).expect("appends");
    let (what, torn) = torn(&before, &files(path)).pop().expect("torn at its last byte");
    restore(path, &torn);
    assert_eq!(reopen(path, 0).1, plains(1..=1), "{what}");
}

#[test]
fn a_flipped_bit_before_the_last_entry_is_damage() {
    let folder = folder();
    let path = folder.path();
    let mut journal = make(path);
    append(&mut journal, 1..=12);
    assert!(journal.current > 0);
    let (last, end) = (journal.segments[journal.current].path.clone(), journal.end);
    drop(journal);
    let whole = files(path);
    let last_entry = end - entry::entry_bytes(&group(12, length(12)));
    assert!(last_entry > HEADER_BYTES, "none is in the middle of the last segment");
    for (file, bytes) in whole.iter().take_while(|(file, _)| **file <= last) {
        // Behind its last entry, a full segment has zeros, which do not matter, as do those of its header.
        let used = if *file == last { last_entry } else { bytes.iter().rposition(|&byte| byte != 0).expect("entries") };
        for at in (0..38).chain(HEADER_BYTES..used) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            write(file, &damaged);
            is_corrupt(path, 0, &format!("byte {at} of {file:?}"));
        }
        write(file, bytes);
    }
    assert_eq!(reopen(path, 0).1, plains(1..=12));
}

#[test]
fn a_segment_that_is_gone_is_damage() {
    let folder = folder();
    let path = folder.path();
    let remove_each = |after: u64| {
        let whole = files(path);
        for (index, file) in whole.keys().enumerate() {
            fs::remove_file(file).expect("removes");
            let said = is_corrupt(path, after, &format!("without {file:?} of {}", whole.len()));
            let is_between = index > 0 && index + 1 < whole.len();
            assert!(!is_between || said.contains(&format!("{}: it is missing", file.display())), "{said}");
            restore(path, &whole);
        }
    };
    drop(make(path));
    remove_each(0);
    append(&mut reopen(path, 0).0, 1..=14);
    remove_each(0);
    // What is written to becomes the first, and more than one waits behind it.
    let mut journal = reopen(path, 0).0;
    append(&mut journal, 15..=15);
    journal.release(14).expect("releases");
    assert!(journal.current == 0 && journal.segments.len() > 3);
    let spare = journal.segments[journal.segments.len() - 1].path.clone();
    drop(journal);
    fs::remove_file(spare).expect("removes");
    assert_eq!(reopen(path, 14).1, plains(15..=15), "one that nothing was written to is no loss");
    let first = files(path).into_keys().next().expect("a segment");
    fs::remove_file(first).expect("removes");
    is_corrupt(path, 14, "without the one that was written to");
    restore(path, &Files::new());
    is_corrupt(path, 0, "without any");
    fs::remove_dir(path).expect("removes");
    let error = open_layout(layout(path), false, 0).err().expect("there is none");
    assert!(error.is_corrupt(), "{error:?}");
}

#[test]
fn a_segment_that_does_not_belong_there_is_damage() {
    let (folder, other) = (folder(), folder());
    let path = folder.path();
    append(&mut make(path), 1..=14);
    let foreign = Layout { store_id: STORE + 1, ..layout(other.path()) };
    append(&mut open_layout(foreign, true, 0).expect("makes").0, 1..=14);
    let (whole, others) = (files(path), files(other.path()));
    let names: Vec<&PathBuf> = whole.keys().collect();
    for file in &names {
        let theirs = &others[&other.path().join(file.file_name().expect("a name"))];
        let bytes = &whole[*file];
        let mut format = bytes.clone();
        format[8] += 1;
        let checksum = crc32fast::hash(&format[..34]).to_le_bytes();
        format[34..38].copy_from_slice(&checksum);
        let damages = [
            ("it is one of another store", theirs.clone()),
            ("it has format 2, and this program knows format 1 only", format),
            ("it is too short", Vec::new()),
            ("its header cannot be read", [&[bytes[0] ^ 1], &bytes[1..]].concat()),
            ("its header cannot be read", [&bytes[..34], &[bytes[34] ^ 1], &bytes[35..]].concat()),
            ("it has another length than", bytes[..SEGMENT - 1].to_vec()),
            ("it has another length than", [&bytes[..], &[0]].concat()),
        ];
        for (what, bytes) in damages {
            write(file, &bytes);
            let said = is_corrupt(path, 0, what);
            assert!(said.contains(&format!("{}: {what}", file.display())), "{said}");
        }
        restore(path, &whole);
        for second in names.iter().filter(|second| second > &file) {
            write(file, &whole[*second]);
            write(second, &whole[*file]);
            let said = is_corrupt(path, 0, "swapped");
            assert!(said.contains("it has the name of another segment"), "{said}");
            restore(path, &whole);
        }
    }
}

#[test]
fn an_old_copy_of_a_segment_is_damage() {
    let folder = folder();
    let path = folder.path();
    append(&mut make(path), 1..=2);
    let short = files(path);
    append(&mut reopen(path, 0).0, 3..=14);
    // The first segment as it was before others were begun.
    let (first, bytes) = short.first_key_value().expect("a segment");
    write(first, bytes);
    is_corrupt(path, 0, "an old copy of the first segment");
}

#[test]
fn a_group_out_of_order_is_refused() {
    let folder = folder();
    let mut journal = make(folder.path());
    append(&mut journal, 1..=3);
    let error = journal.append(&group(3, 1)).expect_err("it is there already");
    assert!(error.to_string().contains("commit 3"), "{error:?}");
    append(&mut journal, 4..=4);
    drop(journal);
    assert_eq!(reopen(folder.path(), 0).1, plains(1..=4));
}

#[test]
fn released_space_is_used_again() {
    let folder = folder();
    let path = folder.path();
    let mut journal = make(path);
    let mut most = 0;
    for commit in 1..=300 {
        append(&mut journal, commit..=commit);
        if commit % 10 == 0 {
            journal.release(commit - 2).expect("releases");
            assert!(journal.bytes() <= 2 * SEGMENT as u64 / 4 + SEGMENT as u64 / 100, "{}", journal.bytes());
        }
        if commit == 100 {
            most = files(path).len();
        }
    }
    assert_eq!(files(path).len(), most, "it grows");
    journal.release(300).expect("releases");
    assert_eq!(journal.bytes(), 0);
    drop(journal);
    assert_eq!(reopen(path, 300).1, []);
}

#[test]
fn what_is_not_released_is_counted() {
    let folder = folder();
    // Large enough for small entries to be counted together.
    let layout = Layout { segment_bytes: SEGMENT * 64, ..layout(folder.path()) };
    let together = layout.segment_bytes as u64 / 100;
    let mut journal = open_layout(layout, true, 0).expect("makes").0;
    append(&mut journal, 1..=60);
    for released in 0..=60 {
        journal.release(released).expect("releases");
        let rest: u64 = (released + 1..=60).map(|commit| entry::entry_bytes(&group(commit, length(commit))) as u64).sum();
        assert!((rest..=rest + together).contains(&journal.bytes()), "{} and not {rest}", journal.bytes());
    }
    assert_eq!(journal.bytes(), 0);
}

#[test]
fn a_segment_is_released_with_the_last_of_its_groups() {
    let folder = folder();
    let path = folder.path();
    let mut journal = make(path);
    append(&mut journal, 1..=14);
    for commit in 0..=14 {
        journal.release(commit).expect("releases");
        drop(journal);
        let (opened, groups) = reopen(path, commit);
        assert_eq!(groups, plains(commit + 1..=14));
        journal = opened;
    }
    assert_eq!(journal.current, 0);
}

#[test]
fn a_renewal_that_was_cut_short_loses_nothing() {
    let folder = folder();
    let path = folder.path();
    append(&mut make(path), 1..=14);
    let first = files(path).into_keys().next().expect("a segment");
    let unnamed = path.join("unnamed");
    fs::rename(first, &unnamed).expect("renames");
    let released = 8;
    for rest in [SEGMENT, SEGMENT / 2, 0] {
        File::options().write(true).open(&unnamed).and_then(|file| file.set_len(rest as u64)).expect("cuts");
        assert_eq!(reopen(path, released).1, plains(released + 1..=14));
    }
    // It is in nobody's way.
    let mut journal = reopen(path, released).0;
    append(&mut journal, 15..=40);
    drop(journal);
    assert_eq!(reopen(path, released).1, plains(released + 1..=40));
}

#[test]
fn a_first_opening_that_was_cut_short_is_completed() {
    let folder = folder();
    let path = folder.path().join("journal");
    let error = open_layout(layout(&path), false, 0).err().expect("there is none");
    assert!(error.is_corrupt() && !path.exists(), "{error:?}");
    drop(make(&path));
    let whole = files(&path);
    fs::rename(whole.keys().next_back().expect("a segment"), path.join("unnamed")).expect("renames");
    append(&mut make(&path), 1..=14);
    assert_eq!(reopen(&path, 0).1, plains(1..=14));
}

#[test]
fn what_the_map_had_before_is_followed() {
    let folder = folder();
    let path = folder.path();
    let mut journal = open_layout(layout(path), true, 50).expect("makes").0;
    assert_eq!(journal.last_commit, 50);
    append(&mut journal, 51..=52);
    drop(journal);
    assert_eq!(reopen(path, 50).1, plains(51..=52));
    is_corrupt(path, 49, "a map that lacks a commit");
}

#[test]
fn a_last_entry_that_is_damaged_later_does_no_harm_if_the_map_has_it() {
    let folder = folder();
    let path = folder.path();
    let mut journal = make(path);
    append(&mut journal, 1..=3);
    let (file, end) = (journal.segments[0].path.clone(), journal.end);
    drop(journal);
    let mut bytes = fs::read(&file).expect("reads");
    bytes[end - 20] ^= 1;
    write(&file, &bytes);
    let (mut journal, groups) = reopen(path, 3);
    assert_eq!((journal.last_commit, groups), (3, vec![]));
    append(&mut journal, 4..=5);
    drop(journal);
    assert_eq!(reopen(path, 3).1, plains(4..=5));
}

#[test]
fn a_group_that_fills_a_segment_fits_and_a_larger_one_is_refused() {
    let folder = folder();
    let mut journal = make(folder.path());
    let fits = (0..SEGMENT).rev().find(|&length| entry::entry_bytes(&group(3, length)) == SEGMENT - HEADER_BYTES);
    let fits = fits.expect("a length");
    append(&mut journal, 1..=2);
    let before = files(folder.path());
    let error = journal.append(&group(3, fits + 1)).expect_err("too large");
    assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("commit 3"), "{error:?}");
    assert_eq!(files(folder.path()), before, "something was written");
    journal.append(&group(3, fits)).expect("appends");
    append(&mut journal, 4..=4);
    drop(journal);
    assert_eq!(reopen(folder.path(), 0).1, [plains(1..=2), vec![plain(3, fits)], plains(4..=4)].concat());
}

#[test]
fn a_replay_that_fails_may_be_repeated() {
    let folder = folder();
    let path = folder.path();
    append(&mut make(path), 1..=5);
    let fail = |group: Group| match group.last_commit {
        3 => Err(Error::new(ErrorKind::Engine, "the disk is full")),
        _ => Ok(()),
    };
    let error = Journal::open_in(layout(path), 0, &mut { fail }).err().expect("it fails");
    assert_eq!(error.to_string(), "the disk is full");
    assert_eq!(reopen(path, 0).1, plains(1..=5));
}

/// Every call after the failure fails as it did, and what was there before is there.
fn fails_for_ever(fail: impl Fn(&mut Journal)) {
    let folder = folder();
    let mut journal = make(folder.path());
    append(&mut journal, 1..=2);
    let file = journal.segments[0].file.try_clone().expect("a handle");
    fail(&mut journal);
    let error = journal.append(&group(3, 10)).expect_err("it fails").to_string();
    assert!(error.contains(&*folder.path().to_string_lossy()), "{error}");
    // As if the disk were well again.
    journal.segments[0].file = file;
    for commit in 3..6 {
        assert_eq!(journal.append(&group(commit, 10)).expect_err("it has failed").to_string(), error);
        assert_eq!(journal.release(commit).expect_err("it has failed").to_string(), error);
    }
    drop(journal);
    assert_eq!(reopen(folder.path(), 0).1, plains(1..=2));
}

#[test]
fn a_failed_write_is_told_by_every_later_call() {
    fails_for_ever(|journal| journal.segments[0].file = File::open(&journal.segments[0].path).expect("opens"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_by_every_later_call() {
    let full = || File::options().write(true).open("/dev/full").expect("opens");
    fails_for_ever(|journal| journal.segments[0].file = full());
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_sync_is_told_by_every_later_call() {
    // It can be written to, and not be synced.
    let null = || File::options().write(true).open("/dev/null").expect("opens");
    fails_for_ever(|journal| journal.segments[0].file = null());
}

#[test]
fn a_segment_that_cannot_be_made_or_renewed_is_a_failure() {
    let folder = folder();
    let path = folder.path();
    let mut journal = make(path);
    // In the place of a file that has no name yet.
    fs::create_dir(path.join("unnamed")).expect("makes");
    let mut failed = (1..).find_map(|commit| Some((commit, journal.append(&group(commit, 100)).err()?)));
    let (commit, error) = failed.take().expect("fails");
    assert_eq!(error.kind(), ErrorKind::Engine);
    assert_eq!(journal.append(&group(commit, 1)).expect_err("it has failed").to_string(), error.to_string());
    drop(journal);
    let (mut journal, groups) = reopen(path, 0);
    assert_eq!(groups, (1..commit).map(|commit| plain(commit, 100)).collect::<Vec<_>>());
    fs::remove_dir(path.join("unnamed")).expect("removes");
    (commit..commit + 9).for_each(|commit| journal.append(&group(commit, 100)).expect("appends"));
    fs::create_dir(path.join("unnamed")).expect("makes");
    let error = journal.release(commit).expect_err("fails").to_string();
    assert_eq!(journal.append(&group(commit + 9, 1)).expect_err("it has failed").to_string(), error);
}

#[test]
fn the_bytes_are_those_of_the_design() {
    let folder = folder();
    let mut journal = make(folder.path());
    journal.append(&group(1, 3)).expect("appends");
    let bytes = fs::read(folder.path().join("0000000000000001")).expect("reads");
    let header = b"metajrnl\x01\0\x05\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0";
    assert_eq!(&bytes[..34], header);
    assert_eq!(bytes[34..38], crc32fast::hash(header).to_le_bytes());
    let entry = &bytes[HEADER_BYTES..];
    assert_eq!(&entry[8..32], b"\x60\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0");
    let mut body = b"\x03\0\0\0set\x01\x01\0\0\0\0\0\0\0\x03\0\0\0\x01\x20\x3f\x05\0\0\0gone1\0".to_vec();
    body.resize(96, 0);
    assert_eq!(entry[32..128], body);
    // The checksum's continuation, by way of what it continues.
    let seed = &[&header[10..26], &header[26..34]].concat()[..];
    assert_eq!(entry[..4], crc32fast::hash(&[seed, &entry[4..32]].concat()).to_le_bytes());
    assert_eq!(entry[4..8], crc32fast::hash(&[seed, &body].concat()).to_le_bytes());
    assert!(is_zero(&entry[128..]));
}

#[test]
fn segments_have_the_size_of_the_design() {
    let folder = folder();
    let path = folder.path().join("journal");
    Journal::make(&path, STORE).expect("makes");
    let mut journal = Journal::open(&path, STORE, 0, &mut |_| Ok(())).expect("opens");
    append(&mut journal, 1..=3);
    drop(journal);
    assert!(files(&path).values().all(|bytes| bytes.len() == SEGMENT_BYTES));
    let mut commits = Vec::new();
    let replay = &mut |group: Group| {
        commits.push(group.last_commit);
        Ok(())
    };
    Journal::open(&path, STORE, 1, replay).expect("opens");
    assert_eq!(commits, [2, 3]);
}

/// A random program, against a list of the groups that are not released.
#[test]
fn any_program_with_crashes_keeps_what_was_told_durable() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..5 {
        let folder = folder();
        let path = folder.path();
        let mut journal = make(path);
        let (mut released, mut model): (u64, Vec<Plain>) = (0, Vec::new());
        for _ in 0..60 {
            let last = model.last().map_or(released, |(commit, _)| *commit);
            match random.u8(..10) {
                0 | 1 => {
                    released = random.u64(released..=last);
                    journal.release(released).expect("releases");
                    model.retain(|(commit, _)| *commit > released);
                }
                2 => {
                    drop(journal);
                    let (opened, groups) = reopen(path, released);
                    assert_eq!(groups, model);
                    journal = opened;
                }
                3 | 4 => {
                    let before = files(path);
                    let (commit, length) = (last + random.u64(1..5), random.usize(..880));
                    journal.append(&group(commit, length)).expect("appends");
                    drop(journal);
                    tear(path, &before, &mut random);
                    let (opened, groups) = reopen(path, released);
                    if groups.len() > model.len() {
                        model.push(plain(commit, length));
                    }
                    assert_eq!(groups, model);
                    journal = opened;
                }
                _ => {
                    let (commit, length) = (last + random.u64(1..5), random.usize(..880));
                    journal.append(&group(commit, length)).expect("appends");
                    model.push(plain(commit, length));
                }
            }
        }
    }
}

/// Leaves a random beginning of what was written to the segment that is not as it was.
fn tear(path: &Path, before: &Files, random: &mut fastrand::Rng) {
    let after = files(path);
    let changed = after.iter().find(|(path, bytes)| before.get(*path).is_some_and(|before| before != *bytes));
    let (path, new) = changed.expect("something was written");
    let old = &before[path];
    let differ: Vec<usize> = (0..SEGMENT).filter(|&at| new[at] != old[at]).collect();
    let cut = random.usize(differ[0]..=differ[differ.len() - 1] + 1);
    write(path, &[&new[..cut], &old[cut..]].concat());
}
