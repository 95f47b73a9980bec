//! Whether a library has what was stored: its state beside the mark, and its records beside its state.

use super::entry::{HEADS, Head, STATE_KEY, State, record_key};
use super::folder::{Mark, Stage, in_store};
use super::library::Library;
use crate::error::{Error, ErrorKind, Result};

/// Up to so many records, a store is read through at every opening. Above, only after an opening that was not ended properly.
pub(super) const ALWAYS_VERIFIED: u64 = if cfg!(test) { 100 } else { 200_000 };

/// The state that the library has, if it fits to the mark and the records fit to it.
pub(super) fn recover(library: &impl Library, mark: Mark) -> Result<State> {
    let path = library.path();
    let damaged = |what: String| {
        let message = format!("the store {} is damaged: {what}; restore it from a copy", path.display());
        Error::new(ErrorKind::Corrupt, message)
    };
    let Some(state) = library.get(STATE_KEY)? else {
        if mark.stage == Stage::BeingMade {
            return Ok(State::new(mark.store_id));
        }
        return Err(damaged(format!("its files are empty or gone, and it had {} commits", mark.last_commit)));
    };
    let state = State::decode(state.as_ref()).map_err(|error| in_store(path, &error))?;
    if state.store_id != mark.store_id {
        return Err(damaged("its files are those of another store".to_owned()));
    }
    if state.last_commit < mark.last_commit {
        let (last, marked) = (state.last_commit, mark.last_commit);
        return Err(damaged(format!("its last commit is number {last}, and it had {marked}")));
    }
    if state.records > ALWAYS_VERIFIED && mark.stage == Stage::Closed {
        return Ok(state);
    }
    let found = totals(library, state)?;
    if found.records != state.records {
        return Err(damaged(format!("it has {} records, and had {}", found.records, state.records)));
    }
    // A record that does not fit to its own checksum explains it, and says so to whoever reads it.
    if found.digest != state.digest && !has_damaged(library)? {
        return Err(damaged("records are not those that it had".to_owned()));
    }
    Ok(found)
}

/// The state with the number of records and the digest that the library really has.
fn totals(library: &impl Library, state: State) -> Result<State> {
    let mut found = State { records: 0, digest: 0, ..state };
    for entry in library.range(HEADS) {
        let (key, head) = entry?;
        let key = record_key(key.as_ref());
        found.add(key, &Head::parse(key, head.as_ref()).map_err(|error| in_store(library.path(), &error))?);
    }
    Ok(found)
}

/// Whether a record does not fit to its checksum.
fn has_damaged(library: &impl Library) -> Result<bool> {
    for entry in library.range(HEADS) {
        let (key, head) = entry?;
        match library.join(record_key(key.as_ref()), head.as_ref()) {
            Err(error) if error.is_corrupt() => return Ok(true),
            joined => drop(joined?),
        }
    }
    Ok(false)
}
