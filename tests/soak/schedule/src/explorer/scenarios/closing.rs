//! The end of a store, or of a thread.

use metaparticle::{Durability, TransactionOptions, persistent};
use shuttle::thread;

use super::{Job, together};
use crate::explorer::place::{Place, User, below, disk};

#[persistent(default)]
struct Counter {
    count: u64,
}

fn count(user: &User, durability: Durability) {
    let options = TransactionOptions::new().durability(durability);
    let add = |tx: &metaparticle::Tx| {
        tx.get_mut::<Counter>("it")?.count += 1;
        Ok(())
    };
    user.transaction_with(options, add).expect("commits");
}

fn durability() -> Durability {
    if below(2) == 0 { Durability::Eventual } else { Durability::Immediate }
}

/// When the last one who has the store has left it, everything is on disk, whoever that was.
pub(super) fn lost_at_closing() {
    let disk = disk();
    let place = Place::on_disk(&disk);
    let jobs: Vec<_> = [1, 2, 1]
        .into_iter()
        .map(|times| {
            let (user, durability) = (place.user(), durability());
            Box::new(move || (0..times).for_each(|_| count(&user, durability))) as Job<()>
        })
        .collect();
    let closing = thread::spawn(move || drop(place));
    together(jobs);
    closing.join().expect("no panic");
    let left = Place::on_disk(&disk.after_power_cut(false));
    assert_eq!(left.read(|tx| tx.get::<Counter>("it").map(|it| it.count)), 4, "commits were lost");
}

/// A thread that ends waits for what it has committed, also where nobody has waited for it before.
pub(super) fn lost_at_exit() {
    let disk = disk();
    let place = Place::on_disk(&disk);
    let jobs = [1, 2].map(|times| {
        let user = place.user();
        Box::new(move || (0..times).for_each(|_| count(&user, Durability::Eventual))) as Job<()>
    });
    let other = {
        let user = place.user();
        thread::spawn(move || count(&user, Durability::Immediate))
    };
    together(jobs);
    if below(2) == 0 {
        place.0.flush().expect("flushes");
    }
    let left = Place::on_disk(&disk.after_power_cut(false));
    let found = left.read(|tx| tx.get::<Counter>("it").map(|it| it.count));
    assert!(found >= 3, "3 were committed by threads that have ended, and {found} are there");
    other.join().expect("no panic");
}
