//! Transactions that do not come to their end: they run out of time or attempts, or nobody wants them any more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use metaparticle::{Result, TransactionOptions, Tx, persistent};

use super::{Job, together};
use crate::explorer::place::{Place, below, one_of};

#[persistent(default)]
struct Counter {
    count: u64,
}

fn add_one(tx: &Tx) -> Result<()> {
    tx.get_mut::<Counter>("it")?.count += 1;
    Ok(())
}

/// An error that says that nothing was written is true, and so is one that says that it is not known.
pub(super) fn untrue_error() {
    let place = Place::any();
    if below(2) == 0 {
        place.run(|tx| tx.insert("it", Counter { count: 0 }));
    }
    let jobs = (0..3).map(|_| {
        let user = place.user();
        // Some of these pass while it waits for its turn, or for the disk.
        let timeout = Duration::from_micros(one_of(&[500, 2000, 5000, 20_000]));
        let options = TransactionOptions::new().timeout(timeout);
        let options = if below(2) == 0 { options.attempts(1 + below(2) as u32) } else { options };
        Box::new(move || {
            let (mut written, mut unknown) = (0u64, 0u64);
            for _ in 0..2 {
                match user.transaction_with(options, add_one) {
                    Ok(()) => written += 1,
                    Err(error) if error.is_indeterminate() => unknown += 1,
                    Err(error) => assert!(error.is_conflict() || error.is_timeout(), "{error}"),
                }
            }
            [written, unknown]
        }) as Job<[u64; 2]>
    });
    let (written, unknown) =
        together(jobs).into_iter().fold((0, 0), |sum, [written, unknown]| (sum.0 + written, sum.1 + unknown));
    let found = place.read(|tx| tx.get::<Counter>("it").map(|it| it.count));
    assert!(
        (written..=written + unknown).contains(&found),
        "{written} were written, of {unknown} it is not known, and {found} are there"
    );
}

/// Polls a future so often at most, and drops it then.
fn poll_at_most(polls: usize, future: impl Future<Output = Result<()>>) -> Option<Result<()>> {
    let (mut future, mut left) = (pin!(future), polls);
    shuttle::future::block_on(poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let result = future.as_mut().poll(context);
        // The last time, it is dropped when it is woken.
        result.map(Some)
    }))
}

/// A future that is dropped has done all or nothing, and is in nobody's way.
pub(super) fn trace_of_a_dropped_future() {
    let place = Place::any();
    let mut jobs = Vec::<Job<[u64; 2]>>::new();
    for polls in [below(6), below(12)] {
        let user = place.user();
        jobs.push(Box::new(move || match poll_at_most(polls, user.0.transaction_async(add_one)) {
            Some(counted) => {
                counted.expect("commits");
                [1, 0]
            }
            None => [0, 1],
        }));
    }
    for _ in 0..2 {
        let user = place.user();
        jobs.push(Box::new(move || {
            user.run(add_one);
            [1, 0]
        }));
    }
    let (written, dropped) = together(jobs).into_iter().fold((0, 0), |sum, one| (sum.0 + one[0], sum.1 + one[1]));
    let found = place.read(|tx| tx.get::<Counter>("it").map(|it| it.count));
    assert!((written..=written + dropped).contains(&found), "{written} were written, {dropped} dropped, and {found} are there");
}
