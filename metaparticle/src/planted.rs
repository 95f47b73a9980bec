//! Bugs that are planted on purpose, to see that the campaigns in `tests/soak` find them. An ordinary build has none of them.

/// A mistake that would break a promise.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(metaparticle_planted), allow(dead_code, reason = "not every engine is built"))]
pub(crate) enum Bug {
    /// A group counts as durable before the log has it.
    AcknowledgeBeforeFlush,
    /// As much memory is taken as a length in the bytes says.
    TrustLength,
    /// A length in the bytes is not compared with what is there.
    UncheckedIndex,
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
