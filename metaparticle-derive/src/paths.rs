//! Absolute paths into the run-time crate, which the user may have under another name.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::Path;

/// The run-time crate's root: `::metaparticle`, or what the option `crate = …` says.
#[derive(Clone)]
pub(crate) struct Krate(TokenStream);

impl Krate {
    pub(crate) fn new(option: Option<&Path>) -> Self {
        Self(option.map_or_else(|| quote!(::metaparticle), |path| quote!(#path)))
    }

    pub(crate) fn root(&self) -> &TokenStream {
        &self.0
    }

    /// The module that expansions may name.
    pub(crate) fn private(&self) -> TokenStream {
        let root = &self.0;
        quote!(#root::__private)
    }

    /// The same with another span, for errors.
    pub(crate) fn private_at(&self, span: Span) -> TokenStream {
        spanned(&self.private(), span)
    }
}

/// A path with another span: what it begins is shown from its first token on.
pub(crate) fn spanned(path: &TokenStream, span: Span) -> TokenStream {
    let with_span = |mut token: TokenTree| {
        token.set_span(span);
        token
    };
    path.clone().into_iter().map(with_span).collect()
}
