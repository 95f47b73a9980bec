//! The options of `#[persistent(…)]`, on the struct and on its fields.

use proc_macro2::{Ident, TokenStream};
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Attribute, LitStr, Path, Result, Token, Type};

use crate::options::{each, flag, ident, name, path, set_once, text, ty, unknown, value};
use crate::report::Report;

const STRUCT_OPTIONS: [&str; 7] = ["name", "key", "default", "singleton", "from", "migrate", "crate"];
const FIELD_OPTIONS: [&str; 9] = ["default", "rename", "alias", "skip", "with", "from", "migrate", "get", "set"];

#[derive(Default)]
pub(crate) struct StructOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) key: Option<Type>,
    pub(crate) default: Option<Path>,
    pub(crate) singleton: Option<Path>,
    pub(crate) old: Vec<Old>,
    pub(crate) krate: Option<Path>,
}

#[derive(Default)]
pub(crate) struct FieldOptions {
    pub(crate) default: Option<Default_>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) skip: Option<Path>,
    pub(crate) with: Option<Path>,
    pub(crate) old: Vec<Old>,
    pub(crate) get: Option<Ident>,
    pub(crate) set: Option<Ident>,
}

/// `default` or `default = path`.
pub(crate) struct Default_ {
    pub(crate) option: Path,
    pub(crate) path: Option<Path>,
}

/// What a struct or field was before: `from = OldType` or `migrate = function`.
pub(crate) enum Old {
    From(Type),
    Migrate(Path),
}

/// Reads all of the struct's options, also after one that is wrong.
pub(crate) fn struct_options(tokens: TokenStream, report: &mut Report) -> StructOptions {
    let mut options = StructOptions::default();
    let result = syn::meta::parser(each(|meta| options.read(meta), report)).parse2(tokens);
    if let Err(error) = result {
        report.add(error);
    }
    options
}

impl StructOptions {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match &*name(meta) {
            "name" => set_once(meta, &mut self.name, text(meta)?),
            "key" => set_once(
                meta,
                &mut self.key,
                value(meta, "the option `key` takes a type: write `key = u64`, or `key = (String, u64)`")?,
            ),
            "default" => flag(meta, &mut self.default, ": write `#[persistent(default = path)]` on the field that it is for"),
            "singleton" => flag(meta, &mut self.singleton, ""),
            "from" | "migrate" => {
                self.old.push(old(meta)?);
                Ok(())
            }
            "crate" => set_once(meta, &mut self.krate, path(meta)?),
            "rename" => Err(unknown(meta, &STRUCT_OPTIONS, "the stored name of a struct is set with `name = \"…\"`")),
            other if FIELD_OPTIONS.contains(&other) => {
                Err(unknown(meta, &STRUCT_OPTIONS, &format!("`#[persistent({other})]` belongs on a field")))
            }
            _ => Err(unknown(meta, &STRUCT_OPTIONS, "")),
        }
    }
}

/// Takes our attributes off a field and reads them.
pub(crate) fn field_options(attrs: &mut Vec<Attribute>, report: &mut Report) -> FieldOptions {
    let mut options = FieldOptions::default();
    attrs.retain(|attr| {
        if !attr.path().is_ident("persistent") {
            return true;
        }
        let result = attr.parse_nested_meta(each(|meta| options.read(meta), report));
        if let Err(error) = result {
            report.add(error);
        }
        false
    });
    options
}

impl FieldOptions {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match &*name(meta) {
            "default" => {
                let path = if meta.input.peek(Token![=]) { Some(path(meta)?) } else { None };
                set_once(meta, &mut self.default, Default_ { option: meta.path.clone(), path })
            }
            "rename" => set_once(meta, &mut self.rename, text(meta)?),
            "alias" => {
                self.aliases.push(text(meta)?);
                Ok(())
            }
            "skip" => flag(meta, &mut self.skip, ""),
            "with" => set_once(meta, &mut self.with, path(meta)?),
            "from" | "migrate" => {
                self.old.push(old(meta)?);
                Ok(())
            }
            "get" => set_once(meta, &mut self.get, ident(meta)?),
            "set" => set_once(meta, &mut self.set, ident(meta)?),
            "name" => Err(unknown(meta, &FIELD_OPTIONS, "the stored name of a field is set with `rename = \"…\"`")),
            other if STRUCT_OPTIONS.contains(&other) => {
                Err(unknown(meta, &FIELD_OPTIONS, &format!("`#[persistent({other})]` belongs on the struct")))
            }
            _ => Err(unknown(meta, &FIELD_OPTIONS, "")),
        }
    }
}

fn old(meta: &ParseNestedMeta<'_>) -> Result<Old> {
    if name(meta) == "migrate" {
        return path(meta).map(Old::Migrate);
    }
    ty(meta, "the option `from` takes the earlier type: write `from = OldType`").map(Old::From)
}
