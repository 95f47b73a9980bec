//! The expansion: a call of `__private::run` with the body in a closure.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, ReceiverKind, ReturnType, Signature, Type};

use super::attr::Options;
use super::body::{call_body, sibling};
use super::signature::{Form, Function, Kind, Object, Param, returns_handle};
use crate::paths::Krate;

pub(super) fn expand(options: &Options, function: &Function, params: &[Param]) -> TokenStream {
    let (krate, private) = (options.krate(), options.krate().private());
    let root = krate.root();
    let Function { attrs, vis, .. } = function;
    let sig = outer_signature(&krate, function, params);
    let keys = params.iter().filter_map(|param| key(&private, param));
    let prefetch = prefetch(&private, params);
    let loads = params.iter().map(|param| bring_in(&krate, param));
    let body = call_body(&private, function, params);
    let sibling = sibling(&private, function, params);
    // What the body is expected to do is done by the sibling.
    let attrs = attrs.iter().filter(|attr| sibling.is_none() || !attr.path().is_ident("expect"));
    let tx = tx();
    // At the return type, so that the error about one that is not a `Result` is there.
    let at_returned = match &function.sig.output {
        ReturnType::Type(_, ty) => at(ty),
        ReturnType::Default => Span::call_site(),
    };
    let private = krate.private_at(at_returned);
    let options = options.to_tokens(&function.sig.ident.unraw().to_string());
    let (run, waited) = match function.sig.asyncness {
        None => (quote_spanned!(at_returned=> run), None),
        Some(_) => (quote_spanned!(at_returned=> run_async), Some(quote_spanned!(at_returned=> .await))),
    };
    let run = quote_spanned! {at_returned=>
        #private::#run(#options, |#tx: &#root::Tx| {
            #prefetch
            #(#loads)*
            ::core::result::Result::Ok(#body)
        }) #waited
    };
    quote! {
        // What the caller passes for an object is ours to choose, and the lifetimes of objects are the transaction's.
        #[allow(unused_lifetimes, clippy::extra_unused_lifetimes, clippy::impl_trait_in_params)]
        #(#attrs)*
        #vis #sig {
            #(#keys)*
            #run
        }
        #sibling
    }
}

/// What stands in for a function with errors: the same signature, so that its callers make no errors of their own.
pub(super) fn fallback(options: &Options, function: &Function, params: &[Param]) -> TokenStream {
    let Function { attrs, vis, .. } = function;
    let attrs = attrs.iter().filter(|attr| attr.path().segments.last().is_none_or(|last| last.ident != "transactional"));
    let mut sig = outer_signature(&options.krate(), function, params);
    if let ReturnType::Type(_, ty) = &mut sig.output {
        if has_impl(ty) || returns_handle(ty) {
            // Nothing that could be written here would be accepted.
            return TokenStream::new();
        }
        **ty = Type::Verbatim(static_references(ty.to_token_stream()));
    }
    // Names that are only used in the parameters are not unused imports.
    let types = function.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(&typed.ty),
        FnArg::Receiver(receiver) => match &receiver.kind {
            ReceiverKind::Typed(_, ty) => Some(ty),
            _ => None,
        },
    });
    let types = types.filter(|ty| !has_impl(ty));
    sig.constness = None;
    sig.abi = None;
    sig.variadic = None;
    quote! {
        #[allow(warnings, clippy::all)]
        #(#attrs)*
        #vis #sig {
            #(let _: ::core::marker::PhantomData<#types>;)*
            ::core::unimplemented!()
        }
    }
}

/// A type with `'static` at its references without a lifetime, which have been reported.
fn static_references(ty: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = ty.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_reference = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '&');
        out.extend([match token {
            TokenTree::Group(group) => TokenTree::Group(Group::new(group.delimiter(), static_references(group.stream()))),
            other => other,
        }]);
        if is_reference && !matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '\'') {
            out.extend(quote!('static));
        }
    }
    out
}

pub(super) fn tx() -> Ident {
    Ident::new("__metaparticle_tx", Span::mixed_site())
}

pub(super) fn hidden(what: &str, param: &Param) -> Ident {
    Ident::new(&format!("__metaparticle_{what}_{}", param.outer.unraw()), Span::mixed_site())
}

/// The function as its callers see it: keys in place of objects.
fn outer_signature(krate: &Krate, function: &Function, params: &[Param]) -> Signature {
    let inputs = params.iter().zip(&function.sig.inputs).filter_map(|(param, input)| {
        let (attrs, outer) = (&param.attrs, &param.outer);
        match &param.kind {
            Kind::Object(object) if object.singleton => None,
            Kind::Object(object) => {
                let (ty, private) = (&object.ty, krate.private_at(object.ty.span()));
                Some(quote_spanned!(ty.span()=> #(#attrs)* #outer: impl #private::KeyFor<#ty>))
            }
            Kind::Transaction => None,
            Kind::Receiver => Some(quote!(#input)),
            // Whatever its callers pass is fine, but for the error that there is already.
            Kind::Wrong if param.typed.is_some() || is_handle(input) => Some(quote!(#outer: impl ::core::marker::Sized)),
            Kind::Wrong => Some(quote!(#input)),
            Kind::Value | Kind::Shared => {
                let (_, ty) = param.typed.as_ref()?;
                let lints = param.lints.iter().filter(|_| param.is_captured());
                Some(quote!(#(#attrs)* #(#lints)* #outer: #ty))
            }
        }
    });
    let mut sig = function.sig.clone();
    sig.inputs = syn::parse_quote!(#(#inputs),*);
    sig
}

/// Whether `self` is a `Ref<Self>` or `Mut<Self>`, which the compiler would report again.
fn is_handle(input: &FnArg) -> bool {
    matches!(input, FnArg::Receiver(receiver) if matches!(&receiver.kind, ReceiverKind::Typed(_, ty) if returns_handle(ty)))
}

/// At the type, for errors, but with names as the rest of the expansion has them.
fn at(ty: &Type) -> Span {
    ty.span().resolved_at(Span::call_site())
}

pub(super) fn object_of(param: &Param) -> Option<&Object> {
    match &param.kind {
        Kind::Object(object) => Some(object),
        _ => None,
    }
}

/// Encodes the key that the caller passed.
fn key(private: &TokenStream, param: &Param) -> Option<TokenStream> {
    let object = object_of(param)?;
    let (key, outer, ty) = (hidden("key", param), &param.outer, &object.ty);
    Some(match object.singleton {
        true => quote_spanned!(at(ty)=> let #key = #private::singleton_key::<#ty>();),
        false => quote_spanned!(at(ty)=> let #key = #private::object_key::<#ty>(#outer);),
    })
}

/// Loads all objects at once.
fn prefetch(private: &TokenStream, params: &[Param]) -> Option<TokenStream> {
    let key = |param| {
        let (key, object) = (hidden("key", param), object_of(param)?);
        Some(quote_spanned!(at(&object.ty)=> &#key))
    };
    let keys: Vec<_> = params.iter().filter_map(key).collect();
    // A single object is loaded by what asks for it.
    if keys.len() < 2 {
        return None;
    }
    let tx = tx();
    Some(quote!(#private::prefetch(#tx, &[#(#keys),*])?;))
}

/// Loads a parameter, or brings it into scope for the body.
fn bring_in(krate: &Krate, param: &Param) -> TokenStream {
    match &param.kind {
        Kind::Object(object) => load(&krate.private(), param, object),
        Kind::Value => value(krate, param),
        Kind::Shared if param.is_captured() => TokenStream::new(),
        Kind::Shared => param.typed.as_ref().map_or_else(TokenStream::new, |(pat, ty)| {
            let (outer, lints) = (&param.outer, &param.lints);
            quote!(#(#lints)* let #pat: #ty = #outer;)
        }),
        Kind::Transaction | Kind::Receiver | Kind::Wrong => TokenStream::new(),
    }
}

fn value(krate: &Krate, param: &Param) -> TokenStream {
    let Some((pat, ty)) = &param.typed else { return TokenStream::new() };
    let (outer, lints) = (&param.outer, &param.lints);
    let annotation = (!has_impl(ty)).then(|| quote!(: #ty));
    let private = krate.private_at(ty.span());
    let mut outer = outer.clone();
    outer.set_span(ty.span().resolved_at(outer.span()));
    let clone = quote_spanned!(ty.span()=> #private::argument_is_cloned_for_each_attempt(&#outer));
    quote!(#(#lints)* let #pat #annotation = #clone;)
}

/// Whether a type cannot be written in a `let`.
pub(super) fn has_impl(ty: &Type) -> bool {
    ty.to_token_stream().into_iter().any(contains_impl)
}

fn contains_impl(token: TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => group.stream().into_iter().any(contains_impl),
        _ => false,
    }
}

fn load(private: &TokenStream, param: &Param, object: &Object) -> TokenStream {
    let (tx, key, ty) = (tx(), hidden("key", param), &object.ty);
    let loaded = hidden("object", param);
    let function = match object.form {
        Form::Exclusive => "load_exclusive",
        Form::Mut => "load_mut",
        Form::Ref => "load_ref",
    };
    let function = format_ident!("{function}{}", if object.optional { "_if_present" } else { "" });
    quote_spanned!(at(ty)=> #[allow(unused_mut)] let mut #loaded = #private::#function::<#ty>(#tx, &#key)?;)
}
