//! A guestbook: several types, methods, keys known only at run time, and functions that call each other.
//!
//! Guests sign pages. Signing counts the guest's entries, numbers the page's, and adds the entry itself, all in one transaction
//! that is put together from smaller ones. A rude entry is refused with an error, which undoes all of it, also what the nested
//! functions had done by then.
//!
//! `cargo run -p metaparticle-examples --example guestbook [FOLDER]`

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use metaparticle::{Error, Ref, Tx, persistent, transactional};

/// Somebody who signs, by name.
#[persistent(default)]
struct Guest {
    entries: u64,
}

/// A page, by title.
#[persistent(default)]
struct Page {
    last_number: u64,
}

/// An entry, by page and number: so those of a page are next to each other, in their order.
#[persistent(key = (String, u64))]
struct Entry {
    guest: String,
    text: String,
    seconds: u64,
}

/// How often anybody has signed: there is one of it.
#[persistent(default, singleton)]
struct Total {
    entries: u64,
}

/// Why an entry was not made.
#[derive(Debug)]
enum Refused {
    Rude { guest: String },
    Store(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rude { guest } => write!(f, "{guest} was rude"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl Page {
    /// The number of the next entry. A method of the object, called with its key.
    #[transactional]
    fn next_number(&mut self) -> metaparticle::Result<u64> {
        self.last_number += 1;
        Ok(self.last_number)
    }
}

#[transactional]
fn count(guest: &mut Guest, #[singleton] total: &mut Total) -> metaparticle::Result<()> {
    guest.entries += 1;
    total.entries += 1;
    Ok(())
}

/// Signs a page. The functions that it calls join its transaction.
#[transactional]
fn sign(tx: &Tx, page: &str, guest: &str, text: &str) -> Result<u64, Refused> {
    count(guest)?;
    let number = Page::next_number(page)?;
    if text.contains("stupid") {
        // Rolls everything back: the guest is not counted, and the number is not used up.
        return Err(Refused::Rude { guest: guest.to_owned() });
    }
    let seconds = tx.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    tx.insert((page, number), Entry { guest: guest.to_owned(), text: text.to_owned(), seconds })?;
    Ok(number)
}

/// The last entries of a page, the newest last.
#[transactional(read_only)]
fn last_entries(tx: &Tx, page: Ref<Page>, title: &str, at_most: u64) -> metaparticle::Result<Vec<String>> {
    let first = page.last_number.saturating_sub(at_most) + 1;
    let mut lines = Vec::new();
    for entry in tx.range::<Entry>((title, first)..=(title, page.last_number)) {
        let ((_, number), entry) = entry?;
        let age = tx.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).saturating_sub(entry.seconds);
        lines.push(format!("  {number}. {}: {} ({age} s ago)", entry.guest, entry.text));
    }
    Ok(lines)
}

#[transactional(read_only)]
fn counts(guest: Ref<Guest>, #[singleton] total: Ref<Total>) -> metaparticle::Result<(u64, u64)> {
    Ok((guest.entries, total.entries))
}

fn main() -> Result<(), Refused> {
    metaparticle::open(metaparticle_examples::store_path("guestbook"))?;
    let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);

    sign("welcome", "Ann", "What a nice place.")?;
    sign("welcome", "Ben", &format!("I was here on day {day}."))?;
    let before = counts("Cleo")?;
    match sign("welcome", "Cleo", "This is stupid.") {
        Err(refused @ Refused::Rude { .. }) => println!("Refused: {refused}"),
        other => drop(other?),
    }
    assert_eq!(counts("Cleo")?, before, "a refused entry leaves no trace");

    println!("The last entries:");
    for line in last_entries("welcome", "welcome", 5)? {
        println!("{line}");
    }
    let (ann, all) = counts("Ann")?;
    println!("Ann has signed {ann} times, and all together {all} times");
    Ok(())
}
