//! What somebody hostile may hand to metaparticle: records, keys, values, URLs, and what a server answers. docs/security.md says what
//! becomes of each; each of its sentences names a test.

mod credentials;
mod keys;
mod records;
mod servers;
