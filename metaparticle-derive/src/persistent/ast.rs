//! A persistent struct as the expansion needs it.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Fields, Generics, Item, ItemStruct, Path, Type, Visibility};

use super::attr::{FieldOptions, Old, StructOptions, field_options};
use crate::paths::Krate;
use crate::report::Report;

pub(crate) struct Object {
    pub(crate) krate: Krate,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    /// The name of the generated handle.
    pub(crate) handle: Ident,
    pub(crate) generics: Generics,
    pub(crate) name: String,
    pub(crate) key: Option<Type>,
    pub(crate) singleton: Option<Path>,
    pub(crate) default: bool,
    /// What it was before.
    pub(crate) old: Vec<Old>,
    /// A second `#[persistent]` on the struct.
    pub(crate) again: Option<Attribute>,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) cfg: Option<Attribute>,
    pub(crate) options: FieldOptions,
}

impl Object {
    /// The fields that are part of the record, in order.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.options.skip.is_none())
    }

    /// Whether its stored name depends on arguments.
    pub(crate) fn is_generic(&self) -> bool {
        !self.generics.params.is_empty()
    }
}

impl Field {
    pub(crate) fn stored_name(&self) -> String {
        self.options.rename.as_ref().map_or_else(|| self.ident.unraw().to_string(), |name| name.value())
    }

    /// `count` and `count_mut`.
    pub(crate) fn getters(&self) -> (Ident, Ident) {
        let get = self.options.get.clone().unwrap_or_else(|| self.ident.clone());
        let get_mut = Ident::new(&format!("{}_mut", get.unraw()), get.span());
        (get, get_mut)
    }

    /// `set_count`.
    pub(crate) fn setter(&self) -> Ident {
        let set = || Ident::new(&format!("set_{}", self.ident.unraw()), self.ident.span());
        self.options.set.clone().unwrap_or_else(set)
    }
}

/// The struct without our field attributes, and what they said. `None` if it is not a struct with named fields.
pub(crate) fn read(item: TokenStream, mut options: StructOptions, report: &mut Report) -> Option<(ItemStruct, Object)> {
    let item = match syn::parse2::<Item>(item) {
        Ok(item) => item,
        Err(error) => {
            report.add(error);
            return None;
        }
    };
    let mut item = struct_of(item, report)?;
    let mut fields = Vec::new();
    for field in &mut item.fields {
        let options = field_options(&mut field.attrs, report);
        let Some(ident) = field.ident.clone() else { continue };
        let cfg = field.attrs.iter().find(|attr| attr.path().is_ident("cfg")).cloned();
        let ty = without_self(&field.ty, &item.ident, &item.generics);
        fields.push(Field { vis: field.vis.clone(), ident, ty, cfg, options });
    }
    let is_ours = |attr: &Attribute| attr.path().segments.last().is_some_and(|last| last.ident == "persistent");
    let again = item.attrs.iter().position(is_ours).map(|index| item.attrs.remove(index));
    let object = Object {
        krate: Krate::new(options.krate.as_ref()),
        vis: item.vis.clone(),
        ident: item.ident.clone(),
        handle: handle(&item, &options),
        generics: item.generics.clone(),
        name: options.name.as_ref().map_or_else(|| item.ident.unraw().to_string(), |name| name.value()),
        key: options.key.clone(),
        singleton: options.singleton.clone(),
        default: options.default.is_some(),
        old: std::mem::take(&mut options.old),
        again,
        fields,
    };
    Some((item, object))
}

/// A field's type as other types can name it, where `Self` is another one or none.
fn without_self(ty: &Type, ident: &Ident, generics: &Generics) -> Type {
    let own = Ident::new("Self", ident.span());
    if !mentions(ty.to_token_stream(), &own) {
        return ty.clone();
    }
    let arguments = generics.split_for_impl().1;
    let named = |span| {
        let mut ident = ident.clone();
        ident.set_span(span);
        quote!(#ident #arguments)
    };
    syn::parse2(in_place_of_self(ty.to_token_stream(), &named)).unwrap_or_else(|_| ty.clone())
}

fn in_place_of_self(tokens: TokenStream, named: &dyn Fn(Span) -> TokenStream) -> TokenStream {
    let replace = |token| match token {
        TokenTree::Ident(ident) if ident == "Self" => named(ident.span()),
        TokenTree::Group(group) => {
            TokenTree::Group(Group::new(group.delimiter(), in_place_of_self(group.stream(), named))).into()
        }
        other => other.into(),
    };
    tokens.into_iter().map(replace).collect()
}

/// `VisitsMut`, or `__VisitsMut` where the struct itself uses a type of that name, which the handle would hide from it.
fn handle(item: &ItemStruct, options: &StructOptions) -> Ident {
    let name = format_ident!("{}Mut", item.ident.unraw());
    let key = options.key.to_token_stream();
    if mentions(item.to_token_stream(), &name) || mentions(key, &name) { format_ident!("__{name}") } else { name }
}

fn mentions(tokens: TokenStream, name: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

fn struct_of(item: Item, report: &mut Report) -> Option<ItemStruct> {
    match item {
        Item::Struct(item) => match &item.fields {
            Fields::Named(_) => return Some(item),
            Fields::Unnamed(_) => report.at(
                &item.ident,
                format!(
                    "a tuple struct cannot be persistent, because its fields have no names to be stored under: write \
                     `struct {} {{ name: Type }}`",
                    item.ident
                ),
            ),
            Fields::Unit => report.at(
                &item.ident,
                format!("a struct without fields cannot be persistent: write `struct {} {{ name: Type }}`", item.ident),
            ),
        },
        Item::Enum(item) => report.at(
            &item.ident,
            format!(
                "an enum cannot be persistent: put it into a field, as in `#[persistent] struct My{0} {{ value: {0} }}`, and \
                 derive `serde::Serialize` and `serde::Deserialize` for it",
                item.ident
            ),
        ),
        Item::Union(item) => report.at(&item.ident, "a union cannot be persistent: write a struct with named fields"),
        Item::Fn(item) => {
            report.at(&item.sig.ident, "`#[persistent]` belongs on a struct; for a function, write `#[transactional]`");
        }
        Item::Impl(item) => report.at(
            &item.self_ty,
            "`#[persistent]` belongs on the struct, not on an `impl` of it; mark the methods with `#[transactional]`",
        ),
        other => report.at(other, "`#[persistent]` belongs on a struct with named fields"),
    }
    None
}
