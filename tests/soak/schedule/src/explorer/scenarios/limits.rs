//! Transactions that run out of time or attempts.

use std::time::Duration;

use metaparticle::{TransactionOptions, persistent};

use super::{Job, together};
use crate::explorer::place::{Place, below, one_of};

#[persistent(default)]
struct Counter {
    count: u64,
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
                let counted = user.transaction_with(options, |tx| {
                    tx.get_mut::<Counter>("it")?.count += 1;
                    Ok(())
                });
                match counted {
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
