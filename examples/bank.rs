//! A bank: many threads move money at once, and none is made or lost.
//!
//! 8 threads make 10,000 transfers between 100 accounts, without a lock and without a retry loop. When two of them touch the
//! same account, one is rolled back and run again on the fresh balances. In the end an audit, a transaction that reads all
//! accounts, finds the total unchanged.
//!
//! `cargo run --release -p metaparticle-examples --example bank [FOLDER]`

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use metaparticle::{Result, Store, Tx, persistent, transactional};

const ACCOUNTS: u32 = 100;
const THREADS: u64 = 8;
const TRANSFERS: u64 = 10_000;
const OPENING_BALANCE: i64 = 1_000;

/// An account, by its number.
#[persistent(key = u32)]
struct Account {
    balance: i64,
    transfers: u64,
}

/// Moves money, if there is enough. Tells whether there was.
#[transactional]
fn transfer(from: &mut Account, to: &mut Account, amount: i64) -> Result<bool> {
    if from.balance < amount {
        return Ok(false);
    }
    from.balance -= amount;
    to.balance += amount;
    from.transfers += 1;
    to.transfers += 1;
    Ok(true)
}

/// Opens all accounts that are not there yet.
#[transactional]
fn open_accounts(tx: &Tx) -> Result<()> {
    for number in 0..ACCOUNTS {
        if !tx.contains::<Account>(number)? {
            tx.insert(number, Account { balance: OPENING_BALANCE, transfers: 0 })?;
        }
    }
    Ok(())
}

/// All the money there is.
#[transactional(read_only)]
fn audit(tx: &Tx) -> Result<i64> {
    let mut total = 0;
    for entry in tx.range::<Account>(..) {
        let (_number, account) = entry?;
        total += account.balance;
    }
    Ok(total)
}

/// One thread's share of the transfers.
fn make_transfers(store: &Store, progress: &ProgressBar, refused: &AtomicU64) -> Result<()> {
    let _entered = store.enter();
    for _ in 0..TRANSFERS / THREADS {
        let from = fastrand::u32(..ACCOUNTS);
        let to = (from + fastrand::u32(1..ACCOUNTS)) % ACCOUNTS;
        if !transfer(from, to, fastrand::i64(1..=200))? {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        progress.inc(1);
    }
    Ok(())
}

fn main() -> Result<()> {
    let store = Store::open(metaparticle_examples::store_path("bank"))?;
    let before = store.run(|| open_accounts().and_then(|()| audit()))?;
    println!("{ACCOUNTS} accounts hold {before} together; {THREADS} threads make {TRANSFERS} transfers");

    let progress = ProgressBar::new(TRANSFERS);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} transfers, {per_sec}, {eta} left") {
        progress.set_style(style);
    }
    let (refused, start) = (AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        let share = || scope.spawn(|| make_transfers(&store, &progress, &refused));
        let threads: Vec<_> = (0..THREADS).map(|_| share()).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread does not panic"))
    })?;
    progress.finish();

    let after = store.run(audit)?;
    let stats = store.stats();
    println!("{TRANSFERS} transfers in {:.1?}, {} refused for lack of money", start.elapsed(), refused.into_inner());
    println!("{} commits, {} re-runs after a conflict", stats.commits, stats.reruns);
    println!("The audit finds {after}, and there were {before}");
    assert_eq!(after, before, "money was made or lost");
    Ok(())
}
