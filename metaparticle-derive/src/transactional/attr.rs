//! The options of `#[transactional(…)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Error, LitInt, LitStr, Path, Result};

use crate::options::{each, flag, name, path, set_once, text, unknown, value};
use crate::paths::Krate;
use crate::report::Report;

const OPTIONS: [&str; 5] = ["attempts", "timeout", "durability", "read_only", "crate"];

#[derive(Default)]
pub(crate) struct Options {
    attempts: Option<u32>,
    timeout_millis: Option<u64>,
    durability: Option<Durability>,
    read_only: Option<Path>,
    krate: Option<Path>,
}

#[derive(Clone, Copy)]
enum Durability {
    Eventual,
    Immediate,
}

/// Reads all options.
pub(crate) fn options(tokens: TokenStream, report: &mut Report) -> Options {
    let mut options = Options::default();
    let result = syn::meta::parser(each(|meta| options.read(meta), report)).parse2(tokens);
    if let Err(error) = result {
        report.add(error);
    }
    options
}

impl Options {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match &*name(meta) {
            "attempts" => set_once(meta, &mut self.attempts, attempts(meta)?),
            "timeout" => set_once(meta, &mut self.timeout_millis, timeout(meta)?),
            "durability" => set_once(meta, &mut self.durability, durability(meta)?),
            "read_only" => flag(meta, &mut self.read_only, ""),
            "crate" => set_once(meta, &mut self.krate, path(meta)?),
            "singleton" => Err(unknown(meta, &OPTIONS, "mark the parameter: `#[singleton] settings: &mut Settings`")),
            _ => Err(unknown(meta, &OPTIONS, "")),
        }
    }

    pub(crate) fn krate(&self) -> Krate {
        Krate::new(self.krate.as_ref())
    }

    /// The options as a value for the function with this name.
    pub(crate) fn to_tokens(&self, function: &str) -> TokenStream {
        let private = self.krate().private();
        let attempts = self.attempts.map(|attempts| quote!(.attempts(#attempts)));
        let timeout = self.timeout_millis.map(|millis| quote!(.timeout_millis(#millis)));
        let durability = self.durability.map(|durability| match durability {
            Durability::Eventual => quote!(.eventual()),
            Durability::Immediate => quote!(.immediate()),
        });
        let read_only = self.read_only.as_ref().map(|_| quote!(.read_only()));
        quote!(#private::Options::new().name(#function) #attempts #timeout #durability #read_only)
    }
}

fn attempts(meta: &ParseNestedMeta<'_>) -> Result<u32> {
    let wanted = "the body runs at least once, so `attempts` takes a number from 1: write `attempts = 5`";
    let number: LitInt = value(meta, wanted)?;
    match number.base10_parse::<u32>() {
        Ok(attempts) if attempts > 0 => Ok(attempts),
        _ => Err(Error::new(number.span(), wanted)),
    }
}

/// `"500ms"`, `"10s"`, `"2m"`.
fn timeout(meta: &ParseNestedMeta<'_>) -> Result<u64> {
    let wanted =
        "the option `timeout` takes a number with a unit, ms, s or m: write `timeout = \"500ms\"`, `\"10s\"` or `\"2m\"`";
    let time: LitStr = value(meta, wanted)?;
    let text = time.value();
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(Error::new(time.span(), wanted)),
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    number.and_then(|number| number.checked_mul(millis)).ok_or_else(|| Error::new(time.span(), wanted))
}

/// `eventual`, `"eventual"`, `Durability::Eventual`.
fn durability(meta: &ParseNestedMeta<'_>) -> Result<Durability> {
    let wanted = "there are two durabilities: write `durability = immediate` or `durability = eventual`";
    let (name, span) = if meta.input.peek(syn::Token![=]) && meta.input.peek2(LitStr) {
        let text = text(meta)?;
        (text.value(), text.span())
    } else {
        let path = path(meta).map_err(|error| Error::new(error.span(), wanted))?;
        let span = syn::spanned::Spanned::span(&path);
        (path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(), span)
    };
    match &*name.to_lowercase() {
        "eventual" => Ok(Durability::Eventual),
        "immediate" => Ok(Durability::Immediate),
        _ => Err(Error::new(span, wanted)),
    }
}
