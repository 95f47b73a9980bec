//! The expansion when something is wrong: enough for the type's uses to make no errors of their own.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

use syn::Type;

use super::ast::Object;
use super::expand::{associated_items, generics, handle};

pub(super) fn expand(object: &Object) -> TokenStream {
    if object.generics.lifetimes().next().is_some() {
        // Nothing that could be written here would be accepted.
        return TokenStream::new();
    }
    let (ident, root, private) = (&object.ident, object.krate.root(), object.krate.private());
    let generics = generics(object);
    let (impl_generics, args, clause) = generics.split_for_impl();
    let items = associated_items(object, &args.to_token_stream());
    let handle = handle(object);
    let singleton =
        object.singleton.as_ref().map(|_| quote!(impl #impl_generics #private::Singleton for #ident #args #clause {}));
    quote! {
        #[allow(warnings, clippy::all)]
        const _: () = {
            #handle
            impl #impl_generics #root::Persistent for #ident #args #clause {
                #items
                const FIELDS: &'static [#private::Field] = &[];
                const OLD: &'static [fn() -> #private::OldStruct] = &[];
                fn encode(&self, _: &mut #private::FieldWriter) -> ::core::result::Result<(), #root::Error> {
                    ::core::unimplemented!()
                }
                fn decode(_: &mut #private::FieldReader<'_>) -> ::core::result::Result<Self, #root::Error> {
                    ::core::unimplemented!()
                }
                fn absent() -> ::core::option::Option<Self> { ::core::option::Option::None }
            }
            #singleton
        };
    }
}

/// A borrowed field has been reported; without a lifetime, the compiler would report it again.
pub(super) fn give_lifetime(ty: &mut Type) {
    if let Type::Reference(reference) = ty
        && reference.lifetime.is_none()
    {
        reference.lifetime = Some(syn::parse_quote!('static));
    }
}
