//! Collects all errors of an expansion, so that they are reported at once.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Error;

#[derive(Default)]
pub(crate) struct Report {
    errors: Option<Error>,
}

impl Report {
    /// An error at `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.add(Error::new_spanned(tokens, message));
    }

    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.errors {
            Some(errors) => errors.combine(error),
            None => self.errors = Some(error),
        }
    }

    /// What was reported, as tokens that make the compiler say it; `None` if nothing was.
    pub(crate) fn into_tokens(self) -> Option<TokenStream> {
        self.errors.map(|errors| errors.into_compile_error())
    }
}
