//! Reading options: what is common to those of both macros.

use proc_macro2::{Ident, TokenTree};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::{Error, LitStr, Path, Result, Token, Type};

use crate::report::Report;

/// Reads options with `read`; after one that is wrong, it goes on with the next.
pub(crate) fn each<'a>(
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> Result<()> + 'a,
    report: &'a mut Report,
) -> impl FnMut(ParseNestedMeta<'_>) -> Result<()> + 'a {
    move |meta| {
        if let Err(error) = read(&meta) {
            report.add(error);
            skip_value(meta.input)?;
        }
        Ok(())
    }
}

/// Goes to the next comma that is not between angle brackets.
fn skip_value(input: ParseStream<'_>) -> Result<()> {
    let mut depth = 0_usize;
    while !input.is_empty() && (depth > 0 || !input.peek(Token![,])) {
        match input.parse()? {
            TokenTree::Punct(punct) if punct.as_char() == '<' => depth += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The option's name.
pub(crate) fn name(meta: &ParseNestedMeta<'_>) -> String {
    meta.path.get_ident().map(|ident| ident.unraw().to_string()).unwrap_or_default()
}

/// That the option comes for the first time.
pub(crate) fn set_once<T>(meta: &ParseNestedMeta<'_>, option: &mut Option<T>, value: T) -> Result<()> {
    if option.is_some() {
        return Err(meta.error(format!("the option `{}` is given twice; remove one", name(meta))));
    }
    *option = Some(value);
    Ok(())
}

/// An option that is there or not.
pub(crate) fn flag(meta: &ParseNestedMeta<'_>, option: &mut Option<Path>, elsewhere: &str) -> Result<()> {
    if meta.input.peek(Token![=]) {
        return Err(meta.error(format!("`{}` takes no value here{elsewhere}", name(meta))));
    }
    set_once(meta, option, meta.path.clone())
}

/// An option whose value is text, and not empty.
pub(crate) fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name = name(meta);
    let wanted = format!("write `{name} = \"…\"`");
    let value = value::<LitStr>(meta, &format!("the option `{name}` takes a text in quotes: {wanted}"))?;
    if value.value().is_empty() {
        return Err(Error::new(
            value.span(),
            format!("the option `{name}` cannot be an empty text: {wanted} with some name in it"),
        ));
    }
    Ok(value)
}

/// An option whose value is an identifier, bare or as text.
pub(crate) fn ident(meta: &ParseNestedMeta<'_>) -> Result<Ident> {
    let wanted = format!("the option `{0}` takes a name: write `{0} = some_name`", name(meta));
    let input = meta.value().map_err(|_| meta.error(&wanted))?;
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return text.parse_with(Ident::parse_any).map_err(|_| Error::new(text.span(), wanted));
    }
    input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), wanted))
}

/// An option whose value is a path, bare or as text.
pub(crate) fn path(meta: &ParseNestedMeta<'_>) -> Result<Path> {
    let wanted = format!("the option `{0}` takes a path: write `{0} = some::path`", name(meta));
    let input = meta.value().map_err(|_| meta.error(&wanted))?;
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return text.parse().map_err(|_| Error::new(text.span(), wanted));
    }
    input.parse().map_err(|error: Error| Error::new(error.span(), wanted))
}

/// An option with some value; `wanted` says what to write where there is none, or another.
pub(crate) fn value<T: Parse>(meta: &ParseNestedMeta<'_>, wanted: &str) -> Result<T> {
    let input = meta.value().map_err(|_| meta.error(wanted))?;
    input.parse().map_err(|error: Error| Error::new(error.span(), wanted))
}

/// An option whose value is a type, bare or as text.
pub(crate) fn ty(meta: &ParseNestedMeta<'_>, wanted: &str) -> Result<Type> {
    let input = meta.value().map_err(|_| meta.error(wanted))?;
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return text.parse().map_err(|_| Error::new(text.span(), wanted));
    }
    input.parse().map_err(|error: Error| Error::new(error.span(), wanted))
}

/// The error for an option that there is not, which lists those that there are.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str], hint: &str) -> Error {
    let name = name(meta);
    let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    let meant = known.iter().find(|known| are_similar(known, &name));
    let hint = match (hint, meant) {
        ("", None) => String::new(),
        ("", Some(meant)) => format!("; did you mean `{meant}`?"),
        (hint, _) => format!("; {hint}"),
    };
    let stop = if hint.ends_with('?') { "" } else { "." };
    meta.error(format!("there is no option `{name}` here{hint}{stop} The options are {list}"))
}

/// Whether one is the other with a letter or two added, left out or changed.
fn are_similar(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same_start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let rest = |chars: &[char]| chars[same_start..].iter().rev().copied().collect::<Vec<_>>();
    let (a, b) = (rest(&one), rest(&other));
    let same_end = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let longest = a.len().max(b.len());
    same_start + same_end > 0 && longest - same_end <= 2
}
