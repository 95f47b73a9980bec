//! Where a store's keys are: all begin with its prefix and `/`.

use crate::engine::Version;

/// What a commit's id says.
pub(super) const APPLIED: &[u8] = b"applied";
pub(super) const REFUSED: &[u8] = b"refused";

/// The names of a store's keys.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A record. Its version is its `mod_revision`.
    pub(super) fn record(&self, key: &[u8]) -> Vec<u8> {
        self.name("r/", key)
    }

    /// The record key in what [`record`](Keys::record) has made.
    pub(super) fn key_of<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        name.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"/r/")
    }

    /// What is left of a removed record for an hour, so that a range which was read before shows that one is missing.
    pub(super) fn removed(&self, key: &[u8]) -> Vec<u8> {
        self.name("x/", key)
    }

    /// The id of a commit of the last hour.
    pub(super) fn commit(&self, id: Version) -> Vec<u8> {
        self.name("c/", &id.number().to_be_bytes())
    }

    /// What keeps others from committing, while it is there.
    pub(super) fn gate(&self) -> Vec<u8> {
        self.name("gate", &[])
    }

    /// What wrote all this.
    pub(super) fn format(&self) -> Vec<u8> {
        self.name("format", &[])
    }

    /// From the first key of the store to the first after it.
    pub(super) fn all(&self) -> (Vec<u8>, Vec<u8>) {
        (format!("{}/", self.prefix).into(), format!("{}0", self.prefix).into())
    }

    fn name(&self, kind: &str, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"/", kind.as_bytes(), key].concat()
    }
}
