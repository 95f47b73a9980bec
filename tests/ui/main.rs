//! One mistake, one error: what the compiler says about each, with what to write instead.
//!
//! `TRYBUILD=overwrite cargo test -p metaparticle-ui-tests` writes the expected messages anew; read them before keeping.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("mistakes/*.rs");
}
