//! What a struct and its fields were before: the parts of the expansion that read earlier types and convert them.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::ast::{Field, Object};
use super::attr::Old;

/// The functions that convert what a field, or without one the struct, was before.
fn functions(object: &Object, field: Option<&Field>) -> Vec<TokenStream> {
    let old = field.map_or(&object.old, |field| &field.options.old);
    let function = |(number, old): (usize, &Old)| match old {
        Old::Migrate(function) => quote!(#function),
        Old::From(_) if !object.is_generic() => conversion_name(field, number).to_token_stream(),
        Old::From(old) => {
            let ty = field.map_or(quote!(Self), |field| field.ty.to_token_stream());
            quote!(<#ty as ::core::convert::From<#old>>::from)
        }
    };
    old.iter().enumerate().map(function).collect()
}

/// Functions that call `From`, so that a conversion that is missing is one error. (They cannot name generic parameters.)
pub(super) fn conversions(object: &Object) -> TokenStream {
    if object.is_generic() {
        return TokenStream::new();
    }
    let ident = &object.ident;
    let own = object.old.iter().enumerate().map(|(number, old)| (None, quote!(#ident), number, old));
    let fields = object.fields.iter().flat_map(|field| {
        let old = field.options.old.iter().enumerate();
        old.map(move |(number, old)| (Some(field), field.ty.to_token_stream(), number, old))
    });
    let conversion = |(field, ty, number, old): (Option<&Field>, TokenStream, usize, &Old)| {
        let Old::From(old) = old else { return None };
        let name = conversion_name(field, number);
        let from = quote_spanned!(old.span().resolved_at(Span::call_site())=> <#ty as ::core::convert::From<#old>>::from);
        Some(quote!(fn #name(__old: #old) -> #ty { #from(__old) }))
    };
    own.chain(fields).filter_map(conversion).collect()
}

fn conversion_name(field: Option<&Field>, number: usize) -> Ident {
    let of = field.map_or_else(|| "struct".to_owned(), |field| field.ident.unraw().to_string());
    Ident::new(&format!("__{of}_from_{number}"), Span::mixed_site())
}

/// The shapes that a field had.
pub(super) fn shapes(object: &Object, field: &Field) -> Option<TokenStream> {
    let earlier = earlier(object, "field");
    let functions = functions(object, Some(field));
    let none = quote!(::core::option::Option::None);
    (!field.options.old.is_empty()).then(|| quote!(.from_old(&[#(|| #earlier(#none, #functions).form()),*])))
}

/// The structs that this one was.
pub(super) fn structs(object: &Object) -> TokenStream {
    let earlier = earlier(object, "struct");
    let functions = functions(object, None);
    let none = quote!(::core::option::Option::None);
    quote!(&[#(|| #earlier(#none, #functions).form()),*])
}

/// Reads the record as one of the structs that this one was, if it is one.
pub(super) fn load_struct(object: &Object) -> TokenStream {
    let earlier = earlier(object, "struct");
    let each = functions(object, None).into_iter().enumerate().map(|(number, function)| {
        let record = quote!(::core::option::Option::Some((&*__fields, #number)));
        quote! {
            if let ::core::option::Option::Some(__object) = #earlier(#record, #function).value()? {
                return ::core::result::Result::Ok(__object);
            }
        }
    });
    quote!(#(#each)*)
}

/// `load`, unless the record has one of the types that the field had.
pub(super) fn load_field(object: &Object, field: &Field, index: usize, load: TokenStream) -> TokenStream {
    let earlier = earlier(object, "field");
    functions(object, Some(field)).into_iter().enumerate().rev().fold(load, |load, (number, function)| {
        let record = quote!(::core::option::Option::Some((&mut *__fields, #index, #number)));
        quote! {
            match #earlier(#record, #function).value()? {
                ::core::option::Option::Some(__value) => __value,
                ::core::option::Option::None => #load,
            }
        }
    })
}

fn earlier(object: &Object, what: &str) -> TokenStream {
    let (private, function) = (object.krate.private(), format_ident!("earlier_{what}"));
    quote!(#private::#function)
}
