//! Bugs that are planted on purpose, to see that the campaigns in `tests/soak` find them. An ordinary build has none of them.

/// A mistake that would break a promise.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(metaparticle_planted), allow(dead_code, reason = "not every engine is built"))]
pub(crate) enum Bug {
    /// A group counts as durable before the log has it.
    AcknowledgeBeforeFlush,
    /// What a nested function has done stays when it fails.
    ForgetUndo,
    /// An object that a transaction has changed is kept as what the store has, also if the transaction is rolled back.
    KeepRolledBack,
    /// A version is one more than the one before, and one when there was none before.
    ReuseVersion,
    /// A record is read from what the map has, also where it is newer in the table.
    ReadStale,
    /// What is read is not compared with what was read before.
    SkipReadComparison,
    /// A commit does not compare ranges.
    SkipRangeValidation,
    /// A commit compares nothing.
    SkipValidation,
    /// A commit compares only what it writes.
    ValidateOnlyWrites,
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
