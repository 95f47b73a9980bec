//! The attribute `#[transactional]`: a function whose persistent parameters become keys, and whose body becomes a closure that
//! may run more than once.

mod attr;
mod body;
mod expand;
mod signature;
mod valid;

use proc_macro2::TokenStream;
use quote::quote;

use crate::report::Report;

pub(crate) fn attribute(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut report = Report::default();
    let options = attr::options(options, &mut report);
    let function = match syn::parse2::<signature::Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            report.add(error);
            let errors = report.into_tokens();
            return quote!(#item #errors);
        }
    };
    let params = signature::params(&function, &mut report);
    valid::check(&function, &params, &mut report);
    match report.into_tokens() {
        None => expand::expand(&options, &function, &params),
        Some(errors) => {
            let fallback = expand::fallback(&options, &function, &params);
            quote!(#errors #fallback)
        }
    }
}
