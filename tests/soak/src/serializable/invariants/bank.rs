//! Money goes from one account to another one: it is neither made nor lost, and whoever looks sees all of it.
//!
//! An account without money is removed, and made again when money comes.

use metaparticle::{Error, Tx, persistent};

use super::Client;
use crate::serializable::event::Event;

const ACCOUNTS: u64 = 6;
const EACH: u64 = 3;

#[persistent(key = (u64, u64))]
pub(super) struct Account {
    balance: u64,
}

pub(super) fn prepare(tx: &Tx, round: u64) -> Result<(), Error> {
    (0..ACCOUNTS).try_for_each(|number| tx.insert((round, number), Account { balance: EACH }))
}

pub(super) fn step(client: &mut Client<'_>) {
    let round = client.round;
    match client.random.u8(..4) {
        0 => drop(client.look(|tx| by_range(tx, round), is_wrong)),
        1 => drop(client.look(|tx| one_by_one(tx, round), is_wrong)),
        _ => {
            let (from, other) = (client.random.u64(..ACCOUNTS), client.random.u64(1..ACCOUNTS));
            let (to, amount) = ((from + other) % ACCOUNTS, client.random.u64(1..4));
            let (outcome, _) = client.change(|tx| transfer(tx, round, (from, to), amount));
            client.events.push(Event::Did(outcome));
        }
    }
}

fn transfer(tx: &Tx, round: u64, (from, to): (u64, u64), amount: u64) -> Result<(), Error> {
    let Some(balance) = tx.get::<Option<Account>>((round, from))?.map(|account| account.balance) else { return Ok(()) };
    let amount = amount.min(balance);
    std::thread::yield_now();
    if amount == balance {
        tx.remove::<Account>((round, from))?;
    } else {
        tx.get_mut::<Account>((round, from))?.balance -= amount;
    }
    match tx.get_mut::<Option<Account>>((round, to))? {
        Some(mut account) => account.balance += amount,
        None => tx.insert((round, to), Account { balance: amount })?,
    }
    Ok(())
}

fn by_range(tx: &Tx, round: u64) -> Result<u64, Error> {
    tx.range::<Account>((round, 0)..(round + 1, 0)).map(|entry| Ok(entry?.1.balance)).sum()
}

fn one_by_one(tx: &Tx, round: u64) -> Result<u64, Error> {
    let balance = |number| Ok(tx.get::<Option<Account>>((round, number))?.map_or(0, |account| account.balance));
    (0..ACCOUNTS).map(balance).sum()
}

fn is_wrong(total: &u64) -> Option<String> {
    (*total != EACH * ACCOUNTS).then(|| format!("bank: {total} instead of {}", EACH * ACCOUNTS))
}
