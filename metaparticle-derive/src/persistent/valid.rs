//! What a persistent struct must keep to beyond its syntax.

use std::collections::HashMap;

use proc_macro2::Ident;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::visit::Visit;
use syn::{GenericParam, Lifetime, Type, TypeReference};

use super::ast::{Field, Object};
use crate::report::Report;

pub(super) fn check(object: &Object, report: &mut Report) {
    if let Some(attr) = &object.again {
        report.at(attr, "the struct is persistent already: write all options into one attribute, and remove the other");
    }
    check_generics(object, report);
    check_key(object, report);
    check_stored_names(object, report);
    check_accessors(object, report);
    object.fields.iter().for_each(|field| check_field(field, report));
}

fn check_generics(object: &Object, report: &mut Report) {
    for param in &object.generics.params {
        if let GenericParam::Lifetime(param) = param {
            report.at(
                &param.lifetime,
                format!(
                    "a persistent struct cannot borrow, because its objects outlive the program: own the data, as in `String` \
                     in place of `&{} str`",
                    param.lifetime
                ),
            );
        }
    }
}

fn check_key(object: &Object, report: &mut Report) {
    let Some(key) = &object.key else { return };
    if let Some(singleton) = &object.singleton {
        report.at(singleton, "a singleton has no key: remove `singleton`, or remove `key`");
    }
    if borrows(key) {
        report.at(key, "a key is owned: write `key = String`; callers may still pass a `&str`");
    }
}

/// Finds references and lifetimes in a type.
struct Borrows(bool);

pub(super) fn borrows(ty: &Type) -> bool {
    let mut borrows = Borrows(false);
    borrows.visit_type(ty);
    borrows.0
}

impl Visit<'_> for Borrows {
    fn visit_type_reference(&mut self, _: &TypeReference) {
        self.0 = true;
    }
    fn visit_lifetime(&mut self, _: &Lifetime) {
        self.0 = true;
    }
}

fn check_stored_names(object: &Object, report: &mut Report) {
    let mut taken: HashMap<String, &Ident> = HashMap::new();
    for field in object.stored() {
        let span: &dyn ToTokens = match &field.options.rename {
            Some(rename) => rename,
            None => &field.ident,
        };
        let aliases = field.options.aliases.iter().map(|alias| (alias.value(), alias as &dyn ToTokens));
        for (name, at) in std::iter::once((field.stored_name(), span)).chain(aliases) {
            if let Some(other) = taken.insert(name.clone(), &field.ident) {
                let message = if *other == field.ident {
                    format!("`{other}` has the name \"{name}\" already: remove this one")
                } else {
                    format!("two fields are stored as \"{name}\": `{other}` is, too; give each name to one field only")
                };
                report.at(at.to_token_stream(), message);
            }
        }
    }
}

fn check_accessors(object: &Object, report: &mut Report) {
    let mut taken: HashMap<String, &Ident> = HashMap::new();
    for field in object.stored() {
        let (get, get_mut) = field.getters();
        for accessor in [get, get_mut, field.setter()] {
            let name = accessor.unraw().to_string();
            match taken.get(&name) {
                Some(other) => report.at(
                    &field.ident,
                    format!(
                        "the accessor `{name}` of this field has the same name as one of the field `{other}`: write \
                         `#[persistent(get = another_name)]` or `#[persistent(set = another_name)]` on one of them"
                    ),
                ),
                None => {
                    taken.insert(name, &field.ident);
                }
            }
        }
    }
}

fn check_field(field: &Field, report: &mut Report) {
    let options = &field.options;
    if let Some(cfg) = &field.cfg {
        report.at(
            cfg,
            "a field of a persistent struct cannot depend on `cfg`, because programs with and without it would write different \
             records: keep the field, or put `cfg` on two versions of the struct",
        );
    }
    // Without a lifetime, the compiler would ask for one, which is the wrong way.
    if let Type::Reference(reference) = &field.ty
        && reference.lifetime.is_none()
    {
        report.at(reference, "a persistent struct cannot borrow, because its objects outlive the program: own the data");
    }
    let Some(skip) = &options.skip else { return };
    let useless = [
        ("rename", options.rename.is_some()),
        ("alias", !options.aliases.is_empty()),
        ("with", options.with.is_some()),
        ("from` or `migrate", !options.old.is_empty()),
        ("get", options.get.is_some()),
        ("set", options.set.is_some()),
    ];
    if let Some((option, _)) = useless.iter().find(|(_, given)| *given) {
        report
            .at(skip, format!("a field that is skipped is not stored and has no accessors: remove `skip`, or remove `{option}`"));
    }
    if let Some(default) = options.default.as_ref().filter(|default| default.path.is_none()) {
        report.at(&default.option, "a field that is skipped is its type's default anyway: remove `default`");
    }
}
