//! Transactions that read more and more objects.

use std::hint::black_box;
use std::time::Duration;

use metaparticle::{Durability, Store, Tx, transactional};

use crate::Result;
use crate::accounts::{Total, fill, read_all};
use crate::figures::{Figure, Figures};
use crate::peers::ACCOUNTS;
use crate::work::{Workers, work};

/// From one account to the next: a prime number that does not divide their number, so that all are different.
const STRIDE: u32 = 7919;

#[transactional]
fn change_first(tx: &Tx, first: u32, reads: u32) -> metaparticle::Result<()> {
    let mut sum = 0;
    for step in 1..reads {
        sum += tx.get::<crate::objects::Account>((first + step * STRIDE) % ACCOUNTS)?.balance;
    }
    black_box(sum);
    tx.get_mut::<crate::objects::Account>(first)?.balance += 1;
    Ok(())
}

pub(super) fn measure(url: &str, reads: u32, length: Duration) -> Result<Figures> {
    let open = || Store::builder(url).durability(Durability::Eventual).open();
    let store = open()?;
    fill(&store, ACCOUNTS)?;
    // More would read some twice.
    let reads = reads.min(ACCOUNTS);
    let workers = Workers { threads: 1, length, with_latencies: false };
    let change = |random: &mut fastrand::Rng| Ok(change_first(random.u32(..ACCOUNTS), reads).map(|()| 0)?);
    let work = work(workers, |work| store.run(work), change)?;
    drop(store);
    let Total { count, sum } = read_all(&open()?, ACCOUNTS)?;
    Ok(Figures::of(&work)
        .with(Figure::UsPerRead, work.took.as_secs_f64() * 1e6 / (work.done * u64::from(reads)) as f64)
        .with(Figure::Lost, f64::from(ACCOUNTS - count) + (work.done as i64 - sum) as f64))
}
