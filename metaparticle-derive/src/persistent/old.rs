//! What a struct and its fields were before: the parts of the expansion that read earlier types and convert them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use super::ast::{Field, Object};
use super::attr::Old;

impl Old {
    /// A function from the earlier type to `ty`.
    fn function(&self, ty: &TokenStream) -> TokenStream {
        match self {
            Self::From(old) => quote!(<#ty as ::core::convert::From<#old>>::from),
            Self::Migrate(function) => quote!(#function),
        }
    }
}

fn functions<'a>(old: &'a [Old], ty: &'a Type) -> impl Iterator<Item = TokenStream> + 'a {
    old.iter().map(move |old| old.function(&quote!(#ty)))
}

/// The shapes that a field had.
pub(super) fn shapes(object: &Object, field: &Field) -> Option<TokenStream> {
    let private = object.krate.private();
    let functions = functions(&field.options.old, &field.ty);
    (!field.options.old.is_empty()).then(|| quote!(.from_old(&[#(|| #private::shape_taken_by(#functions)),*])))
}

/// The structs that this one was.
pub(super) fn structs(object: &Object) -> TokenStream {
    let private = object.krate.private();
    let functions = object.old.iter().map(|old| old.function(&quote!(Self)));
    quote!(&[#(|| #private::OldStruct::taken_by(#functions)),*])
}

/// Reads the record as one of the structs that this one was, if it is one.
pub(super) fn load_struct(object: &Object) -> TokenStream {
    let private = object.krate.private();
    let each = object.old.iter().enumerate().map(|(number, old)| {
        let function = old.function(&quote!(Self));
        quote! {
            if let ::core::option::Option::Some(__object) = #private::load_old_struct(__fields, #number, #function)? {
                return ::core::result::Result::Ok(__object);
            }
        }
    });
    quote!(#(#each)*)
}

/// `load`, unless the record has one of the types that the field had.
pub(super) fn load_field(object: &Object, field: &Field, index: usize, load: TokenStream) -> TokenStream {
    let private = object.krate.private();
    let functions: Vec<_> = functions(&field.options.old, &field.ty).enumerate().collect();
    functions.into_iter().rev().fold(load, |load, (number, function)| {
        quote! {
            match #private::load_old(__fields, #index, #number, #function)? {
                ::core::option::Option::Some(__value) => __value,
                ::core::option::Option::None => #load,
            }
        }
    })
}
