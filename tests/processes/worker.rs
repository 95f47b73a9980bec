//! One of several processes that change the same objects: transfers between accounts, and pointers that form a ring.
//!
//! Arguments: the store's URL, which worker this is, and how many transactions of each kind.

use metaparticle::{Result, Store, Tx, persistent, transactional};

const ACCOUNTS: u64 = 8;
const NODES: u64 = 12;

#[persistent(key = u64)]
struct Account {
    balance: i64,
}

/// Points to the next one; all of them are one ring. (FoundationDB tests its isolation with this workload, and calls it Cycle.)
#[persistent(key = u64)]
struct Node {
    next: u64,
}

/// Counts what this worker has done.
#[persistent(default, key = u64)]
struct Done {
    transactions: u64,
}

#[transactional]
fn transfer(from: &mut Account, to: &mut Account, amount: i64, done: &mut Done) -> Result<()> {
    from.balance -= amount;
    to.balance += amount;
    done.transactions += 1;
    Ok(())
}

/// Takes the second of four nodes out, and puts it behind the third.
#[transactional]
fn turn(tx: &Tx, first: u64, done: &mut Done) -> Result<()> {
    let mut one = tx.get_mut::<Node>(first)?;
    let second = one.next;
    let mut two = tx.get_mut::<Node>(second)?;
    let third = two.next;
    let mut three = tx.get_mut::<Node>(third)?;
    (one.next, two.next, three.next) = (third, three.next, second);
    done.transactions += 1;
    Ok(())
}

#[transactional(read_only)]
fn check(tx: &Tx) -> Result<()> {
    let total = (0..ACCOUNTS).map(|key| Ok(tx.get::<Account>(key)?.balance)).sum::<Result<i64>>()?;
    let (mut at, mut steps) = (tx.get::<Node>(0)?.next, 1);
    while at != 0 && steps <= NODES {
        at = tx.get::<Node>(at)?.next;
        steps += 1;
    }
    assert_eq!((total, steps), (100 * ACCOUNTS as i64, NODES), "a mixture was seen");
    Ok(())
}

#[transactional]
fn fill(tx: &Tx) -> Result<()> {
    for key in 0..ACCOUNTS {
        if !tx.contains::<Account>(key)? {
            tx.insert(key, Account { balance: 100 })?;
        }
    }
    for key in 0..NODES {
        if !tx.contains::<Node>(key)? {
            tx.insert(key, Node { next: (key + 1) % NODES })?;
        }
    }
    Ok(())
}

/// How often it was not known whether a transaction has happened.
fn run(store: &Store, worker: u64, transactions: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(worker);
    let mut unknown = 0;
    store.run(|| {
        fill().expect("fills");
        for _ in 0..transactions {
            let (from, to) = (random.u64(..ACCOUNTS), random.u64(1..ACCOUNTS));
            let done = [transfer(from, (from + to) % ACCOUNTS, random.i64(1..10), worker), turn(random.u64(..NODES), worker)];
            for done in done {
                match done {
                    Ok(()) => {}
                    Err(error) if error.is_indeterminate() => unknown += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            check().expect("checks");
        }
    });
    unknown
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, worker, transactions] = &*arguments else { panic!("{arguments:?}") };
    let (worker, transactions) = (worker.parse().expect("a number"), transactions.parse().expect("a number"));
    let store = Store::builder(url).timeout(std::time::Duration::from_secs(60)).open().expect("a store");
    println!("{}", run(&store, worker, transactions));
}
