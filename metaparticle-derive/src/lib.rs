//! The macros of the crate `metaparticle`, which re-exports and documents them. Depend on that crate.

mod options;
mod paths;
mod persistent;
mod report;
mod transactional;

use proc_macro::TokenStream;

// Documented at the re-export in `metaparticle`.
#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn persistent(options: TokenStream, item: TokenStream) -> TokenStream {
    persistent::attribute(options.into(), item.into()).into()
}

// Documented at the re-export in `metaparticle`.
#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn transactional(options: TokenStream, item: TokenStream) -> TokenStream {
    transactional::attribute(options.into(), item.into()).into()
}
