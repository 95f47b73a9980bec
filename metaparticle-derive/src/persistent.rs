//! The attribute `#[persistent]`: reads a struct, and implements `Persistent` for it with a handle and accessors.

mod ast;
mod attr;
mod expand;
mod fallback;
mod old;
mod valid;

use proc_macro2::TokenStream;
use quote::quote;

use crate::report::Report;

pub(crate) fn attribute(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut report = Report::default();
    let options = attr::struct_options(options, &mut report);
    let Some((mut item, mut object)) = ast::read(item.clone(), options, &mut report) else {
        let errors = report.into_tokens();
        return quote!(#item #errors);
    };
    valid::check(&object, &mut report);
    let expansion = match report.into_tokens() {
        None => expand::expand(&object),
        Some(errors) => {
            let types = item.fields.iter_mut().map(|field| &mut field.ty);
            types.chain(object.fields.iter_mut().map(|field| &mut field.ty)).for_each(fallback::give_lifetime);
            let fallback = fallback::expand(&object);
            quote!(#errors #fallback)
        }
    };
    quote!(#item #expansion)
}
