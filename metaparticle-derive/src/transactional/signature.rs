//! A function's signature, and what each of its parameters means.

use proc_macro2::{Delimiter, Group, Span, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, Pat, PathArguments, Receiver, ReceiverKind, Result, Signature, Token, Type,
    Visibility,
};

use crate::report::Report;

/// A function whose body is left unparsed, so that what is wrong in it is said by the compiler.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let not_a_function = "`#[transactional]` belongs on a function; for a struct, write `#[persistent]`";
        let is_item =
            input.peek(Token![struct]) || input.peek(Token![enum]) || input.peek(Token![impl]) || input.peek(Token![mod]);
        if is_item || input.peek(Token![trait]) {
            return Err(input.error(not_a_function));
        }
        let sig: Signature = input.parse().map_err(|error| Error::new(error.span(), not_a_function))?;
        if input.peek(Token![;]) {
            return Err(Error::new(sig.ident.span(), "a transactional function has a body: write it in the place of `;`"));
        }
        let TokenTree::Group(body) = input.parse()? else {
            return Err(Error::new(sig.ident.span(), "a transactional function has a body in braces after its signature"));
        };
        Ok(Self { attrs, vis, sig, body: without_invisible(body) })
    }
}

/// A body that came through a `$body:block` of somebody's macro is in a group without delimiters.
fn without_invisible(group: Group) -> Group {
    let mut tokens = group.stream().into_iter();
    match (group.delimiter(), tokens.next(), tokens.next()) {
        (Delimiter::None, Some(TokenTree::Group(inner)), None) => without_invisible(inner),
        _ => group,
    }
}

/// A type without parentheses, and without the invisible ones that come with a `$ty:ty` of somebody's macro.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        _ => ty,
    }
}

/// What a parameter means.
pub(crate) enum Kind {
    /// An object: the caller passes its key.
    Object(Box<Object>),
    /// `tx: &Tx`.
    Transaction,
    /// By value: cloned for each attempt.
    Value,
    /// `&T`: the body uses it as it is.
    Shared,
    /// `&self` of a type that is not persistent.
    Receiver,
    /// Something is wrong with it, which has been reported.
    Wrong,
}

/// How an object is given to the body.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) form: Form,
    pub(crate) ty: Type,
    pub(crate) optional: bool,
    pub(crate) singleton: bool,
    /// Whether it is `&mut self`.
    pub(crate) receiver: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Exclusive,
    Mut,
    Ref,
}

pub(crate) struct Param {
    pub(crate) kind: Kind,
    pub(crate) attrs: Vec<Attribute>,
    /// Those of its attributes that are about the pattern, such as `#[allow(unused_variables)]`.
    pub(crate) lints: Vec<Attribute>,
    /// The pattern and type as written; a receiver has neither.
    pub(crate) typed: Option<(Pat, Type)>,
    /// Its name in the outer signature.
    pub(crate) outer: Ident,
}

impl Param {
    /// Whether the body captures it under its own name.
    pub(crate) fn is_captured(&self) -> bool {
        let is_plain = |pat: &Pat| matches!(pat, Pat::Ident(pat) if pat.mutability.is_none() && pat.ident == self.outer);
        matches!(self.kind, Kind::Shared) && self.typed.as_ref().is_some_and(|(pat, _)| is_plain(pat))
    }
}

/// Reads all parameters.
pub(crate) fn params(function: &Function, report: &mut Report) -> Vec<Param> {
    let mut params: Vec<_> = function.sig.inputs.iter().enumerate().map(|(index, input)| param(index, input, report)).collect();
    if params.iter().any(|param| matches!(&param.kind, Kind::Object(object) if object.receiver)) {
        // The patterns and what is about them stay with the method that has the body; here, each parameter is only passed on.
        for param in &mut params {
            param.lints.clear();
            let outer = &param.outer;
            if let Some((pat, _)) = &mut param.typed {
                *pat =
                    Pat::parse_single.parse2(outer.to_token_stream()).unwrap_or_else(|_| Pat::Verbatim(outer.to_token_stream()));
            }
        }
    }
    params
}

fn param(index: usize, input: &FnArg, report: &mut Report) -> Param {
    let hidden = |what: &str| Ident::new(&format!("__metaparticle_{what}{index}"), Span::mixed_site());
    match input {
        FnArg::Receiver(receiver) => {
            let (attrs, singleton) = without_singleton(&receiver.attrs);
            let kind = receiver_kind(receiver, singleton, report);
            check_singleton(singleton, &kind, receiver, report);
            Param { kind, attrs, lints: Vec::new(), typed: None, outer: hidden("key") }
        }
        FnArg::Typed(typed) => {
            let (attrs, singleton) = without_singleton(&typed.attrs);
            let kind = kind(bare(&typed.ty), singleton, report);
            check_singleton(singleton, &kind, &typed.ty, report);
            let outer = match &*typed.pat {
                Pat::Ident(pat) if pat.subpat.is_none() && pat.by_ref.is_none() => {
                    let mut outer = pat.ident.clone();
                    // A key is not what the user's code means by this name.
                    if matches!(kind, Kind::Object(_)) {
                        outer.set_span(Span::mixed_site().located_at(outer.span()));
                    }
                    outer
                }
                _ => hidden("argument"),
            };
            let (lints, attrs) = attrs.into_iter().partition(is_lint);
            Param { kind, attrs, lints, typed: Some(((*typed.pat).clone(), (*typed.ty).clone())), outer }
        }
    }
}

fn receiver_kind(receiver: &Receiver, singleton: bool, report: &mut Report) -> Kind {
    let typed = match &receiver.kind {
        ReceiverKind::Typed(_, ty) => Some(bare(ty)),
        _ => None,
    };
    let is_mutable = match (&receiver.kind, typed) {
        (ReceiverKind::Reference(_, _, mutability), _) => mutability.is_some(),
        (_, Some(Type::Reference(reference))) => reference.mutability.is_some(),
        _ => {
            let message = if typed.is_some_and(|ty| handle(ty).is_some()) {
                "`self` cannot be a handle: write `&mut self`, or a parameter with another name, such as `this: Mut<Self>`"
            } else {
                "a body may run more than once, so it cannot take `self` by value: write `&mut self` for a persistent object, or \
                 `&self`"
            };
            report.at(receiver, message);
            return Kind::Wrong;
        }
    };
    if !is_mutable {
        return Kind::Receiver;
    }
    let ty = Type::Verbatim(Ident::new("Self", receiver.self_token.span).into_token_stream());
    Kind::Object(Box::new(Object { form: Form::Exclusive, ty, optional: false, singleton, receiver: true }))
}

/// Whether an attribute sets the level of lints.
pub(crate) fn is_lint(attr: &Attribute) -> bool {
    ["allow", "warn", "deny", "expect", "forbid"].iter().any(|name| attr.path().is_ident(name))
}

/// Takes off `#[singleton]`, which is ours.
pub(crate) fn without_singleton(attrs: &[Attribute]) -> (Vec<Attribute>, bool) {
    let rest: Vec<_> = attrs.iter().filter(|attr| !attr.path().is_ident("singleton")).cloned().collect();
    let singleton = rest.len() < attrs.len();
    (rest, singleton)
}

fn check_singleton(singleton: bool, kind: &Kind, at: &impl ToTokens, report: &mut Report) {
    if singleton && !matches!(kind, Kind::Object(_) | Kind::Wrong) {
        report.at(at, "`#[singleton]` belongs on an object: `&mut T`, `Ref<T>` or `Mut<T>`; remove it here");
    }
}

fn kind(ty: &Type, singleton: bool, report: &mut Report) -> Kind {
    if let Some((form, ty)) = object(ty, report) {
        return ty
            .map_or(Kind::Wrong, |ty| Kind::Object(Box::new(Object { form, ty, optional: false, singleton, receiver: false })));
    }
    if let Some(inner) = argument_of(ty, "Option")
        && let Some((form, ty)) = object(inner, report)
    {
        return ty
            .map_or(Kind::Wrong, |ty| Kind::Object(Box::new(Object { form, ty, optional: true, singleton, receiver: false })));
    }
    match ty {
        _ if argument_of(ty, "Option").is_some_and(|inner| is_transaction(inner) || is_named(inner, "Tx")) => {
            wrong(ty, "there always is a transaction: write `tx: &Tx`", report)
        }
        _ if is_transaction(ty) => Kind::Transaction,
        Type::Path(_) if is_named(ty, "Tx") => wrong(ty, "the transaction is lent to the body: write `tx: &Tx`", report),
        Type::Reference(reference) if handle(bare(&reference.elem)).is_some() => {
            wrong(ty, "a handle is passed by value: write `Ref<T>` or `Mut<T>` without `&`", report)
        }
        Type::Reference(_) => Kind::Shared,
        _ => Kind::Value,
    }
}

fn wrong(at: &Type, message: &str, report: &mut Report) -> Kind {
    report.at(at, message);
    Kind::Wrong
}

/// The form and type of an object; the type is `None` if something about it was wrong, and reported.
fn object(ty: &Type, report: &mut Report) -> Option<(Form, Option<Type>)> {
    if let Some((form, ty)) = handle(ty) {
        return Some((form, Some(ty.clone())));
    }
    let Type::Reference(reference) = ty else { return None };
    reference.mutability?;
    let elem = bare(&reference.elem);
    let message = if is_named(elem, "Tx") {
        "the transaction is lent to the body, and changed through `&`: write `tx: &Tx`".to_owned()
    } else if handle(elem).is_some() {
        "a handle is passed by value: write `Ref<T>` or `Mut<T>` without `&mut`".to_owned()
    } else if argument_of(elem, "Option").is_some() {
        "an object that may be absent is written the other way round: `Option<&mut T>`".to_owned()
    } else if let Some(what) = plain(elem) {
        format!(
            "{what} is not persistent, and a body may run more than once, so it cannot change what it has no way to take back: \
             return the new value, or make it a field of a `#[persistent]` struct"
        )
    } else {
        return Some((Form::Exclusive, Some(elem.clone())));
    };
    report.at(ty, message);
    Some((Form::Exclusive, None))
}

/// `Ref<T>` and `Mut<T>`.
fn handle(ty: &Type) -> Option<(Form, &Type)> {
    let form = |name, form| argument_of(ty, name).map(|ty| (form, ty));
    form("Ref", Form::Ref).or_else(|| form("Mut", Form::Mut))
}

/// Whether a return type is a `Ref<T>` or `Mut<T>`, or a `Result` or `Option` of one.
pub(crate) fn returns_handle(ty: &Type) -> bool {
    let ty = bare(ty);
    let Type::Path(path) = ty else { return false };
    let Some(PathArguments::AngleBracketed(arguments)) = path.path.segments.last().map(|last| &last.arguments) else {
        return false;
    };
    let inner = |argument: &GenericArgument| matches!(argument, GenericArgument::Type(ty) if returns_handle(ty));
    handle(ty).is_some() || arguments.args.iter().any(inner)
}

/// The only type argument of a path that ends in `name`.
fn argument_of<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let mut types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(bare(ty)),
        _ => None,
    });
    let first = types.next();
    if types.next().is_none() { first } else { None }
}

fn is_transaction(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if is_named(bare(&reference.elem), "Tx"))
}

fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name && last.arguments.is_none()))
}

/// What can be told not to be persistent from its name alone.
fn plain(ty: &Type) -> Option<String> {
    const PLAIN: [&str; 28] = [
        "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
        "f64", "String", "Vec", "VecDeque", "HashMap", "HashSet", "BTreeMap", "BTreeSet", "Box", "Rc", "Arc", "PathBuf",
    ];
    match ty {
        Type::Path(path) => {
            let (first, last) = (&path.path.segments.first()?.ident, path.path.segments.last()?.ident.to_string());
            // A path such as `self::String` is to a type of the user's own.
            if path.path.segments.len() > 1 && first != "std" {
                return None;
            }
            PLAIN.contains(&&*last).then(|| format!("`{last}`"))
        }
        Type::Slice(_) => Some("a slice".to_owned()),
        Type::Array(_) => Some("an array".to_owned()),
        Type::Tuple(_) => Some("a tuple".to_owned()),
        Type::ImplTrait(_) | Type::TraitObject(_) => Some("a trait's implementor".to_owned()),
        _ => None,
    }
}
