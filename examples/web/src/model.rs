//! What the service keeps, and all that is done with it. Nothing here knows of HTTP.

use std::fmt;
use std::time::UNIX_EPOCH;

use metaparticle::{Error, Ref, Result, Tx, persistent, transactional};

/// What an account holds when it is opened.
pub(crate) const OPENING_BALANCE: u64 = 100;

/// How often a user has been here, by the user's name. Whoever has not, has been here 0 times.
#[persistent(default)]
pub(crate) struct Visits {
    pub(crate) count: u64,
}

/// The guestbook itself: what there is one of.
#[persistent(default, singleton)]
pub(crate) struct Guestbook {
    last_number: u64,
}

/// An entry, by its number: so they are next to each other, in their order.
#[persistent(key = u64)]
pub(crate) struct Entry {
    pub(crate) guest: String,
    pub(crate) text: String,
    /// Since 1970.
    pub(crate) seconds: u64,
}

/// A user's account, by the user's name. Without `default`: it has to be opened.
#[persistent]
pub(crate) struct Account {
    pub(crate) balance: u64,
}

/// Why money was not moved.
#[derive(Debug)]
pub(crate) enum Refused {
    Poor { balance: u64, amount: u64 },
    Full,
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
            Self::Poor { balance, amount } => write!(f, "the account holds {balance}, which is less than {amount}"),
            Self::Full => f.write_str("the other account cannot hold that much"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

#[transactional]
pub(crate) async fn visit(user: &mut Visits) -> Result<u64> {
    user.count += 1;
    Ok(user.count)
}

#[transactional(read_only)]
pub(crate) async fn visits(user: Ref<Visits>) -> Result<u64> {
    Ok(user.count)
}

/// Adds an entry. Its number and the entry itself are written together, or not at all.
#[transactional]
pub(crate) async fn sign(tx: &Tx, #[singleton] book: &mut Guestbook, guest: &str, text: &str) -> Result<u64> {
    book.last_number += 1;
    let seconds = tx.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    tx.insert(book.last_number, Entry { guest: guest.to_owned(), text: text.to_owned(), seconds })?;
    Ok(book.last_number)
}

/// The number of the first of the last `at_most` entries.
#[transactional(read_only)]
pub(crate) async fn first_of_last(#[singleton] book: Ref<Guestbook>, at_most: u64) -> Result<u64> {
    Ok(book.last_number.saturating_sub(at_most) + 1)
}

/// Opens an account, unless it is open. Tells what it holds.
#[transactional]
pub(crate) async fn open_account(tx: &Tx, user: &str) -> Result<u64> {
    if !tx.contains::<Account>(user)? {
        tx.insert(user, Account { balance: OPENING_BALANCE })?;
    }
    Ok(tx.get::<Account>(user)?.balance)
}

#[transactional(read_only)]
pub(crate) async fn balance(user: Ref<Account>) -> Result<u64> {
    Ok(user.balance)
}

/// Moves money. Tells what both accounts hold then.
#[transactional]
pub(crate) async fn transfer(from: &mut Account, to: &mut Account, amount: u64) -> Result<(u64, u64), Refused> {
    from.balance = from.balance.checked_sub(amount).ok_or(Refused::Poor { balance: from.balance, amount })?;
    // The error undoes what was done before it.
    to.balance = to.balance.checked_add(amount).ok_or(Refused::Full)?;
    Ok((from.balance, to.balance))
}
