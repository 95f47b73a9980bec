//! What a transactional function must keep to beyond its parameters.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::Visit;
use syn::{Attribute, Lifetime, ReturnType, Safety, Type, TypeReference};

use super::signature::{Function, Kind, Param, bare, returns_handle};
use crate::report::Report;

pub(super) fn check(function: &Function, params: &[Param], report: &mut Report) {
    check_modifiers(function, report);
    check_params(params, report);
    check_return_type(function, params, report);
    if let Some(span) = find_await(function.body.stream()) {
        report.add(syn::Error::new(
            span,
            "a transaction's body holds no `.await`, because it may run more than once and others would wait for it: await before \
             the call and pass the value in, or after it",
        ));
    }
}

fn check_modifiers(function: &Function, report: &mut Report) {
    let sig = &function.sig;
    let is_ours = |attr: &&Attribute| attr.path().segments.last().is_some_and(|last| last.ident == "transactional");
    if let Some(attr) = function.attrs.iter().find(is_ours) {
        report.at(attr, "the function is transactional already: remove one of the two attributes");
    }
    if let Some(token) = &sig.asyncness {
        report.at(
            token,
            "a transactional `async fn` is not supported yet: write `fn`; an async caller can use its runtime's `spawn_blocking`",
        );
    }
    if let Some(token) = &sig.constness {
        report.at(token, "a transactional function uses a store, so it cannot be `const`: remove `const`");
    }
    if let Safety::Unsafe(token) = &sig.safety {
        report.at(token, "a transactional function cannot be `unsafe`: put the unsafe block into its body");
    }
    if let Some(abi) = &sig.abi {
        report
            .at(abi, "a transactional function takes keys of several types, so it cannot be `extern`: call it from one that is");
    }
    if let Some(variadic) = &sig.variadic {
        report.at(variadic, "a transactional function has a fixed number of parameters: remove `...`");
    }
}

fn check_params(params: &[Param], report: &mut Report) {
    for attr in params.iter().flat_map(|param| &param.attrs).filter(|attr| attr.path().is_ident("cfg")) {
        report.at(
            attr,
            "a parameter of a transactional function cannot depend on `cfg`: write two versions of the function, each with its `cfg`",
        );
    }
    let transactions: Vec<_> = params.iter().filter(|param| matches!(param.kind, Kind::Transaction)).collect();
    for param in transactions.iter().skip(1) {
        if let Some((_, ty)) = &param.typed {
            report.at(ty, "there is one transaction: remove this parameter");
        }
    }
}

fn check_return_type(function: &Function, params: &[Param], report: &mut Report) {
    let ty = match &function.sig.output {
        ReturnType::Default => {
            report.at(
                &function.sig.ident,
                "a transactional function returns a `Result`, because loading and committing can fail: write \
                 `-> metaparticle::Result<()>`, and end the body with `Ok(())`",
            );
            return;
        }
        ReturnType::Type(_, ty) => bare(ty),
    };
    if is_plainly_no_result(ty) {
        let shown = quote::quote!(#ty).to_string();
        report.at(
            ty,
            format!(
                "a transactional function returns a `Result`, because loading and committing can fail: write \
                 `-> metaparticle::Result<{shown}>`"
            ),
        );
        return;
    }
    check_escape(function, ty, params, report);
}

fn is_plainly_no_result(ty: &Type) -> bool {
    const NO_RESULT: [&str; 21] = [
        "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64",
        "String", "Option", "Vec", "HashMap", "Box",
    ];
    match ty {
        Type::Path(path) => {
            path.path.get_ident().is_some_and(|name| NO_RESULT.iter().any(|no| name == no))
                || path
                    .path
                    .segments
                    .last()
                    .is_some_and(|last| !last.arguments.is_none() && NO_RESULT.iter().any(|no| last.ident == no))
        }
        Type::Tuple(_) | Type::Reference(_) | Type::Never(_) | Type::Slice(_) | Type::Array(_) => true,
        _ => false,
    }
}

/// References in the return type that could only be into an object.
fn check_escape(function: &Function, ty: &Type, params: &[Param], report: &mut Report) {
    let mut references = References::default();
    references.visit_type(ty);
    // By the rules of elision, a reference without a lifetime is into `self` where there is one.
    let is_method = params.iter().any(|param| matches!(&param.kind, Kind::Object(object) if object.receiver));
    let borrows_argument = params.iter().any(|param| matches!(param.kind, Kind::Shared | Kind::Receiver));
    let object_lifetimes = object_lifetimes(function, params);
    if let Some(span) = find_use(ty.to_token_stream()) {
        report.add(syn::Error::new(
            span,
            "`use<…>` cannot name the type of the key, which the caller chooses: return a `Box<dyn …>`, or remove `use<…>`",
        ));
    }
    let mut message =
        "a reference into an object cannot leave its transaction, because the object is no longer there: return an \
                       owned value, such as `String` in place of `&str`"
            .to_owned();
    if is_method && borrows_argument {
        message += "; a reference from an argument needs a lifetime with a name in both places, as in `&'a str`";
    }
    for reference in references.elided.iter().filter(|_| is_method || !borrows_argument) {
        report.at(reference, &message);
    }
    if !borrows_argument && references.elided.is_empty() && returns_handle(ty) {
        report.at(ty, "a handle cannot leave its transaction: return an owned value, such as a field or a clone of the object");
    }
    for lifetime in references.named.iter().filter(|lifetime| object_lifetimes.contains(lifetime)) {
        report.at(lifetime, &message);
    }
}

/// The `use` of `impl Trait + use<…>`.
fn find_use(ty: TokenStream) -> Option<Span> {
    ty.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident == "use" => Some(ident.span()),
        TokenTree::Group(group) => find_use(group.stream()),
        _ => None,
    })
}

#[derive(Default)]
struct References {
    elided: Vec<TypeReference>,
    named: Vec<Lifetime>,
}

impl<'ast> Visit<'ast> for References {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if reference.lifetime.is_none() {
            self.elided.push(reference.clone());
        }
        syn::visit::visit_type_reference(self, reference);
    }
    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.named.push(lifetime.clone());
        }
    }
}

/// Lifetimes that only parameters for objects have.
fn object_lifetimes(function: &Function, params: &[Param]) -> Vec<Lifetime> {
    let (mut objects, mut others) = (References::default(), References::default());
    for (param, input) in params.iter().zip(&function.sig.inputs) {
        let is_object = matches!(&param.kind, Kind::Object(_));
        let found = if is_object { &mut objects } else { &mut others };
        found.visit_fn_arg(input);
    }
    objects.named.retain(|lifetime| !others.named.contains(lifetime));
    objects.named
}

/// The first `.await` that is not in an `async` block.
fn find_await(body: TokenStream) -> Option<Span> {
    let mut tokens = body.into_iter().peekable();
    let mut in_async = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "async" => in_async = true,
            TokenTree::Group(group) => {
                let is_async_block = in_async && group.delimiter() == Delimiter::Brace;
                if !is_async_block && let Some(span) = find_await(group.stream()) {
                    return Some(span);
                }
                in_async &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Punct(punct) if punct.as_char() == '.' => {
                if let Some(TokenTree::Ident(ident)) = tokens.peek()
                    && ident == "await"
                {
                    return Some(ident.span());
                }
            }
            _ => {}
        }
    }
    None
}
