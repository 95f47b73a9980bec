//! Bugs that are planted on purpose, to see that the campaigns in `tests/soak` find them. An ordinary build has none of them.

/// A mistake that would break a promise.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(any(not(metaparticle_planted), metaparticle_schedule), allow(dead_code, reason = "not every engine is built"))]
pub(crate) enum Bug {
    /// A group counts as durable before the log has it.
    AcknowledgeBeforeFlush,
    /// Whoever waits for the follower asks it again for what it is busy with.
    AskForNothing,
    /// A part of what the map is given counts as all of it.
    CountPartAsWhole,
    /// `flush` returns at once.
    FlushWithoutWaiting,
    /// The names of new folders above a store are not synced.
    ForgetNewFolders,
    /// What has only read returns before what it has read is durable.
    ForgetOutputGate,
    /// Whoever makes room in the commit queue does not wake those who wait for it.
    ForgetRoom,
    /// A function that fails leaves what the functions nested in it have changed.
    ForgetUndo,
    /// A commit does not tell those who watch what it changes.
    ForgetWatchers,
    /// A sync of the journal that has failed is taken for one that has not.
    ForgiveFailedSync,
    /// What a commit that was in conflict would have written is kept at hand.
    KeepConflicting,
    /// An object that a transaction has changed is kept as what the store has, also if the transaction is rolled back.
    KeepRolledBack,
    /// Whoever gives up waiting for a turn keeps the place in the queue.
    LeakTicket,
    /// An object that a transaction has changed is left with what it was before.
    LeaveBefore,
    /// A new store's mark says that it has a journal before it has one.
    MarkBeforeJournal,
    /// A commit does not leave its id where a settlement finds it.
    NoCommitId,
    /// A settlement that finds a difference does not claim the id, so what comes late is carried out.
    NoRefusal,
    /// A record is read from what the map has, also where it is newer in the table.
    ReadStale,
    /// Whoever waits for the disk may be noted down after the disk is done.
    RegisterTooLate,
    /// Segments of the journal are used again before the map has what is in them.
    ReleaseTooEarly,
    /// A segment of the journal has its new header while it has its old name.
    RenewUnderOldName,
    /// The journal's last entry counts as whole, however much of it is there.
    ReplayTornEntry,
    /// A commit whose answer was lost is sent again as another commit.
    RetryUnknown,
    /// Commits have few ids, which return.
    ReuseCommitId,
    /// A version is one more than the one before, and one when there was none before.
    ReuseVersion,
    /// The journal is written and not synced.
    SkipJournalSync,
    /// Segments of the journal are used again when the map has followed, and is not synced.
    SkipMapSync,
    /// A commit does not compare ranges.
    SkipRangeValidation,
    /// What is read is not compared with what was read before.
    SkipReadComparison,
    /// A commit compares nothing.
    SkipValidation,
    /// Who was woken to try its luck for a turn is not woken again, also after the slice.
    TellOnce,
    /// What is read is taken for stored, also after a sync has failed.
    TrustFailedSync,
    /// As much memory is taken as a length in the bytes says, up to a gigabyte.
    TrustLength,
    /// Records count as nothing in the cache, which so has no bound.
    UnboundedCache,
    /// A length in the bytes is not compared with what is there.
    UncheckedIndex,
    /// A commit whose answer was lost counts as made.
    UnknownIsCommitted,
    /// A commit whose answer was lost counts as not made.
    UnknownIsFailed,
    /// A commit compares only what it writes.
    ValidateOnlyWrites,
    /// Whoever gives up the turn wakes nobody.
    WakeNobody,
    /// What is waited for is compared before one is subscribed to it.
    WatchTooLate,
}

/// Whether this bug is to be there: the one that the environment variable `METAPARTICLE_PLANTED` names.
#[cfg(metaparticle_planted)]
pub(crate) fn planted(bug: Bug) -> bool {
    static NAME: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("METAPARTICLE_PLANTED").unwrap_or_default());
    !NAME.is_empty() && *NAME == format!("{bug:?}")
}

/// None is there.
#[cfg(not(metaparticle_planted))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
