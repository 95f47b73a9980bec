//! The body as the user wrote it: in a closure, or for `&mut self` in a method of its own, and what it is called with.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Generics, Lifetime, Pat, PathArguments, PathSegment, ReceiverKind,
    ReturnType, Type,
};

use super::expand::{has_impl, hidden, object_of, tx};
use super::signature::{Form, Function, Kind, Object, Param, bare, is_lint, without_singleton};
use crate::paths::spanned;

/// What the body is given for an object.
fn lent(private: &TokenStream, param: &Param, object: &Object) -> TokenStream {
    let loaded = hidden("object", param);
    match (object.form, object.optional) {
        (Form::Exclusive, false) => quote!(#private::Tracked::write_all(&mut #loaded)),
        (Form::Exclusive, true) => {
            quote!(::core::option::Option::map(::core::option::Option::as_mut(&mut #loaded), #private::Tracked::write_all))
        }
        _ => quote!(#loaded),
    }
}

/// `x: Mut<T>` is `mut x: Mut<T>` to the body, so that its setters can be called.
fn mutable(pat: &Pat, form: Form) -> Pat {
    let mut pat = pat.clone();
    if let Pat::Ident(ident) = &mut pat
        && form == Form::Mut
        && ident.by_ref.is_none()
    {
        ident.mutability = Some(syn::Token![mut](ident.ident.span()));
    }
    pat
}

/// The parameter's type with the transaction's lifetime, which the user need not write and cannot name.
fn in_transaction(private: &TokenStream, ty: &Type) -> Type {
    let mut ty = bare(ty).clone();
    match &mut ty {
        Type::Reference(reference) => {
            reference.lifetime = None;
            let elem = &reference.elem;
            let private = spanned(private, elem.span());
            // As the argument of a type, as it is in the outer signature: then a misspelt type is one and the same error in both.
            *reference.elem = Type::Verbatim(quote_spanned!(elem.span()=> #private::Itself<#elem>));
        }
        Type::Path(path) => {
            if let Some(last) = path.path.segments.last_mut() {
                give_lifetime(private, last);
            }
        }
        _ => {}
    }
    ty
}

/// `Ref<T>` to `Ref<'_, T>`, also inside of an `Option`.
fn give_lifetime(private: &TokenStream, segment: &mut PathSegment) {
    let is_handle = segment.ident == "Ref" || segment.ident == "Mut";
    let PathArguments::AngleBracketed(arguments) = &mut segment.arguments else { return };
    if !is_handle {
        for argument in &mut arguments.args {
            if let GenericArgument::Type(inner) = argument {
                *inner = in_transaction(private, inner);
            }
        }
        return;
    }
    let types = std::mem::take(&mut arguments.args).into_iter();
    let types = types.filter(|argument| !matches!(argument, GenericArgument::Lifetime(_)));
    let lifetime = GenericArgument::Lifetime(Lifetime::new("'_", Span::call_site()));
    arguments.args = std::iter::once(lifetime).chain(types).collect();
}

/// Runs the body: in a closure of its own, so that its `return` and its temporaries stay what they are in a function. What
/// belongs to the transaction is a parameter of the closure, so that a reference that escapes is one error, and in the body.
pub(super) fn call_body(private: &TokenStream, function: &Function, params: &[Param]) -> TokenStream {
    let receiver = params.iter().find(|param| object_of(param).is_some_and(|object| object.receiver));
    if let Some(receiver) = receiver {
        let (loaded, sibling) = (hidden("object", receiver), sibling_name(function));
        let arguments = params.iter().filter(|param| param.typed.is_some()).map(|param| argument(private, param));
        let generics = turbofish(&function.sig.generics);
        return quote!(Self::#sibling #generics(#private::Tracked::write_all(&mut #loaded) #(, #arguments)*));
    }
    let (inputs, arguments): (Vec<_>, Vec<_>) =
        params.iter().filter_map(|param| Some((input(private, param)?, argument(private, param)))).unzip();
    let body = &function.body;
    let output = match &function.sig.output {
        ReturnType::Type(_, ty) if has_impl(ty) => TokenStream::new(),
        output => output.to_token_stream(),
    };
    let run_body = Ident::new("__metaparticle_body", Span::mixed_site());
    quote!({
        // `mut` for bodies that change an argument of theirs.
        #[allow(unused_mut)]
        let mut #run_body = |#(#inputs),*| #output #body;
        #run_body(#(#arguments),*)
    })
}

/// A parameter of the body's closure; what does not belong to the transaction is captured.
fn input(private: &TokenStream, param: &Param) -> Option<TokenStream> {
    let (pat, ty) = param.typed.as_ref()?;
    let lints = &param.lints;
    match &param.kind {
        Kind::Object(object) => {
            let (pat, ty) = (mutable(pat, object.form), in_transaction(private, ty));
            Some(quote!(#[allow(unused_mut)] #(#lints)* #pat: #ty))
        }
        Kind::Transaction => Some(quote!(#(#lints)* #pat: #ty)),
        _ => None,
    }
}

fn argument(private: &TokenStream, param: &Param) -> TokenStream {
    match &param.kind {
        Kind::Object(object) => lent(private, param, object),
        Kind::Transaction => {
            // At the type, for the error about somebody else's `Tx`.
            let span = param.typed.as_ref().map_or_else(Span::call_site, |(_, ty)| ty.span());
            Ident::new(&tx().to_string(), Span::mixed_site().located_at(span)).to_token_stream()
        }
        _ => param.outer.to_token_stream(),
    }
}

/// `::<T, N>`: the arguments need not tell them.
fn turbofish(generics: &Generics) -> Option<TokenStream> {
    let names = generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    });
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| quote!(::<#(#names),*>))
}

fn sibling_name(function: &Function) -> Ident {
    // In the implementation of a trait, this name is what the compiler complains about.
    let name = format!("__metaparticle_for_inherent_impls_only_{}", function.sig.ident.unraw());
    Ident::new(&name, function.sig.ident.span())
}

/// For `&mut self`: the method as it was written, under another name, because `self` cannot be given to a closure.
pub(super) fn sibling(private: &TokenStream, function: &Function, params: &[Param]) -> Option<TokenStream> {
    params.iter().find(|param| object_of(param).is_some_and(|object| object.receiver))?;
    let attrs = function.attrs.iter().filter(|attr| is_for_body(attr));
    let mut sig = function.sig.clone();
    sig.ident = sibling_name(function);
    // The waiting is done around the body.
    sig.asyncness = None;
    for (input, param) in sig.inputs.iter_mut().zip(params) {
        match input {
            FnArg::Receiver(receiver) => {
                receiver.attrs = param.attrs.clone();
                // The lifetime is the transaction's, whatever name the user gave it.
                match &mut receiver.kind {
                    ReceiverKind::Reference(_, lifetime, _) => *lifetime = None,
                    ReceiverKind::Typed(_, ty) => {
                        if let Type::Reference(reference) = &mut **ty {
                            reference.lifetime = None;
                        }
                    }
                    _ => {}
                }
            }
            FnArg::Typed(typed) => {
                typed.attrs = without_singleton(&typed.attrs).0;
                if let Some(object) = object_of(param) {
                    typed.attrs.push(syn::parse_quote!(#[allow(unused_mut)]));
                    *typed.pat = mutable(&typed.pat, object.form);
                    *typed.ty = in_transaction(private, &typed.ty);
                }
            }
        }
    }
    let body = &function.body;
    Some(quote! {
        // The signature is judged where the user wrote it, and follows rules of its own: it returns a `Result` even if the body
        // cannot fail. Only lints about signatures are here, so that those about the body stay on.
        #[allow(
            unused_lifetimes, clippy::extra_unused_lifetimes, clippy::needless_lifetimes, clippy::unnecessary_wraps,
            clippy::needless_pass_by_value, clippy::needless_pass_by_ref_mut, clippy::trivially_copy_pass_by_ref,
            clippy::too_many_arguments, clippy::fn_params_excessive_bools, clippy::missing_const_for_fn,
            clippy::missing_docs_in_private_items,
        )]
        #(#attrs)*
        #[doc(hidden)]
        #sig #body
    })
}

/// Attributes that mean something for the body.
fn is_for_body(attr: &Attribute) -> bool {
    is_lint(attr) || attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr")
}
