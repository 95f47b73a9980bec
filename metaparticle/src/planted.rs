//! Bugs that are planted on purpose, to see that the campaigns in `tests/soak` find them. An ordinary build has none of them.

/// A mistake that would break a promise.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(metaparticle_planted), allow(dead_code, reason = "not every engine is built"))]
pub(crate) enum Bug {
    /// A group counts as durable before the log has it.
    AcknowledgeBeforeFlush,
    /// A part of what the map is given counts as all of it.
    CountPartAsWhole,
    /// `flush` returns at once.
    FlushWithoutWaiting,
    /// What has only read returns before what it has read is durable.
    ForgetOutputGate,
    /// Whoever makes room in the commit queue does not wake those who wait for it.
    ForgetRoom,
    /// Whoever gives up its turn does not wake the next.
    ForgetTurn,
    /// A function that fails leaves what the functions nested in it have changed.
    ForgetUndo,
    /// A commit does not tell those who watch what it changes.
    ForgetWatchers,
    /// What a commit that was in conflict would have written is kept at hand.
    KeepRolledBack,
    /// An entry of the journal that was torn stays behind its end.
    KeepTornEnd,
    /// A new store's mark says that it has a journal before it has one.
    MarkBeforeJournal,
    /// Whoever waits for the disk may be noted down after the disk is done.
    RegisterTooLate,
    /// Segments of the journal are used again before the map has what is in them.
    ReleaseTooEarly,
    /// The journal's last entry counts as whole, however much of it is there.
    ReplayTornEntry,
    /// Ranges of keys are not compared.
    SkipRanges,
    /// What a commit has seen is not compared.
    SkipValidation,
    /// Of what a commit has seen, only what it writes is compared.
    ValidateOnlyWrites,
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
