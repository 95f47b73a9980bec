//! The expansion: a handle with accessors, and the implementation of `Persistent`.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Generics, Lifetime, LifetimeParam, Type, WherePredicate, parse_quote};

use super::ast::{Field, Object};
use super::old;
use super::valid::borrows;

pub(super) fn expand(object: &Object) -> TokenStream {
    let with = object.stored().map(|field| with_wrappers(object, field));
    let conversions = old::conversions(object);
    let defaults = defaults(object);
    let handle = handle(object);
    let persistent = persistent(object);
    let singleton = object.singleton.as_ref().map(|_| singleton(object));
    quote! {
        // What is generated is not for the user's lints to judge.
        #[allow(
            clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction,
            deprecated, dead_code, non_camel_case_types, non_snake_case, unreachable_pub, unused_qualifications, unused_lifetimes,
            private_interfaces, private_bounds, single_use_lifetimes, variant_size_differences, missing_debug_implementations,
            elided_lifetimes_in_paths, explicit_outlives_requirements,
        )]
        const _: () = {
            #(#with)*
            #conversions
            #(#defaults)*
            #handle
            #persistent
            #singleton
        };
    }
}

/// The user's generics, with what objects need: they outlive every transaction.
pub(super) fn generics(object: &Object) -> Generics {
    let mut generics = object.generics.clone();
    let types: Vec<_> = generics.type_params().map(|param| param.ident.clone()).collect();
    for param in generics.type_params_mut() {
        param.default = None;
    }
    for param in generics.const_params_mut() {
        param.default = None;
    }
    let clause = generics.make_where_clause();
    for ty in types {
        clause.predicates.push(parse_quote!(#ty: 'static));
    }
    generics
}

/// With the bounds that generic fields need to be stored.
fn storable_generics(object: &Object) -> Generics {
    let mut generics = generics(object);
    if object.generics.type_params().next().is_none() {
        return generics;
    }
    let private = object.krate.private();
    let clause = generics.make_where_clause();
    for field in &object.fields {
        let ty = &field.ty;
        let mut bound = |bound: TokenStream| {
            let predicate: WherePredicate = parse_quote!(#ty: #bound);
            clause.predicates.push(predicate);
        };
        if field.options.skip.is_none() && field.options.with.is_none() {
            bound(quote!(#private::Storable));
        }
        let plain = field.options.default.as_ref().is_some_and(|default| default.path.is_none());
        let skipped = field.options.skip.is_some() && field.options.default.is_none();
        if plain || skipped || (object.default && field.options.default.is_none()) {
            bound(quote!(::core::default::Default));
        }
    }
    generics
}

/// The generics of the handle: `'tx`, and then those of the struct.
pub(super) fn handle_generics(generics: &Generics) -> Generics {
    let mut with_tx = generics.clone();
    let tx = LifetimeParam::new(tx());
    with_tx.params.insert(0, parse_quote!(#tx));
    with_tx
}

pub(super) fn tx() -> Lifetime {
    Lifetime::new("'__metaparticle_tx", Span::mixed_site())
}

pub(super) fn handle(object: &Object) -> TokenStream {
    let (vis, ident, handle, private) = (&object.vis, &object.ident, &object.handle, object.krate.private());
    let generics = generics(object);
    let (_, args, _) = generics.split_for_impl();
    let with_tx = handle_generics(&generics);
    let (impl_tx, args_tx, clause_tx) = with_tx.split_for_impl();
    let (tx, params) = (tx(), &with_tx.params);
    let doc = format!("A [`{ident}`] in a transaction, whose accessors note which fields are read and written.");
    // Fields whose accessors clash have been reported; only the first keeps them.
    let mut taken = HashSet::new();
    let mut is_free = |field: &Field| {
        let (get, get_mut) = field.getters();
        [get, get_mut, field.setter()].iter().all(|name| taken.insert(name.unraw().to_string()))
    };
    let fields = object.stored().enumerate().filter(|(_, field)| is_free(field));
    let accessors: Vec<_> = fields.map(|(index, field)| accessors(&private, index, field)).collect();
    quote! {
        #[doc = #doc]
        #vis struct #handle<#params>(#private::Tracked<#tx, #ident #args>) #clause_tx;

        #[automatically_derived]
        impl #impl_tx #private::Handle<#tx> for #handle #args_tx #clause_tx {
            type Object = #ident #args;
            fn new(tracked: #private::Tracked<#tx, #ident #args>) -> Self { Self(tracked) }
        }
        #[automatically_derived]
        impl #impl_tx ::core::ops::Deref for #handle #args_tx #clause_tx {
            type Target = #ident #args;
            fn deref(&self) -> &#ident #args { #private::Tracked::read_all(&self.0) }
        }
        #[automatically_derived]
        impl #impl_tx ::core::ops::DerefMut for #handle #args_tx #clause_tx {
            fn deref_mut(&mut self) -> &mut #ident #args { #private::Tracked::write_all(&mut self.0) }
        }
        #[automatically_derived]
        impl #impl_tx #handle #args_tx #clause_tx {
            #(#accessors)*
        }
    }
}

// Calls by path, because a trait of the user's may have methods of these names for every type.
fn accessors(private: &TokenStream, index: usize, field: &Field) -> TokenStream {
    let Field { vis, ident, ty, .. } = field;
    let ((get, get_mut), set) = (field.getters(), field.setter());
    let docs = [
        format!("The field `{ident}`, which counts as read."),
        format!("Gives the field `{ident}` a value, without counting it as read."),
        format!("The field `{ident}`, to change; it counts as read and written."),
    ];
    let [get_doc, set_doc, mut_doc] = docs;
    quote! {
        #[doc = #get_doc]
        #[inline]
        #vis fn #get(&self) -> &#ty { &#private::Tracked::read(&self.0, #index).#ident }
        #[doc = #set_doc]
        #[inline]
        #vis fn #set(&mut self, value: #ty) { #private::Tracked::write(&mut self.0, #index).#ident = value; }
        #[doc = #mut_doc]
        #[inline]
        #vis fn #get_mut(&mut self) -> &mut #ty { &mut #private::Tracked::read_write(&mut self.0, #index).#ident }
    }
}

fn persistent(object: &Object) -> TokenStream {
    let (ident, root, private) = (&object.ident, object.krate.root(), object.krate.private());
    let generics = storable_generics(object);
    let (impl_generics, args, clause) = generics.split_for_impl();
    let items = associated_items(object, &args.to_token_stream());
    let fields = object.stored().map(|field| stored_field(object, field));
    let (private_field, old) = (quote!(#private::Field), old::structs(object));
    let load_old = old::load_struct(object);
    let old_struct = quote!(#private::OldStruct);
    let store = object.stored().map(|field| store(object, field));
    let is_partial = object.fields.iter().any(|field| field.options.skip.is_some());
    let leave_out = is_partial.then(|| quote!(#private::FieldWriter::leave_out(__out);));
    let mut index = 0;
    let load = object.fields.iter().map(|field| {
        let value = load(object, field, index);
        index += usize::from(field.options.skip.is_none());
        let ident = &field.ident;
        quote!(#ident: #value)
    });
    let absent = absent(object);
    quote! {
        #[automatically_derived]
        impl #impl_generics #root::Persistent for #ident #args #clause {
            #items
            const FIELDS: &'static [#private_field] = &[#(#fields),*];
            const OLD: &'static [fn() -> #old_struct] = #old;
            fn encode(&self, __out: &mut #private::FieldWriter) -> ::core::result::Result<(), #root::Error> {
                #leave_out
                #(#store)*
                ::core::result::Result::Ok(())
            }
            fn decode(__fields: &mut #private::FieldReader<'_>) -> ::core::result::Result<Self, #root::Error> {
                #load_old
                ::core::result::Result::Ok(Self { #(#load),* })
            }
            fn absent() -> ::core::option::Option<Self> { #absent }
            #[allow(clippy::needless_borrow)]
            fn sharing() -> ::core::option::Option<#private::Sharing<Self>> {
                use #private::{NotShared as _, Shared as _};
                (&&#private::Probe::<Self>::new()).sharing()
            }
        }
    }
}

/// The associated types and constants, which the fallback has in common.
pub(super) fn associated_items(object: &Object, args: &TokenStream) -> TokenStream {
    let private = object.krate.private();
    let key = match (&object.key, &object.singleton) {
        (_, Some(_)) => quote!(()),
        (Some(key), None) if !borrows(key) => quote!(#key),
        _ => quote!(#private::String),
    };
    let (handle, name) = (&object.handle, &object.name);
    let (generic, singleton) = (object.is_generic(), object.singleton.is_some());
    let tx = tx();
    let handle_args: TokenStream = match args.is_empty() {
        true => quote!(<#tx>),
        false => {
            // `<T, U>` without its angle brackets.
            let inner: Vec<_> = args.clone().into_iter().collect();
            let inner: TokenStream = inner[1..inner.len() - 1].iter().cloned().collect();
            quote!(<#tx, #inner>)
        }
    };
    quote! {
        type Key = #key;
        type Mut<#tx> = #handle #handle_args;
        const NAME: &'static ::core::primitive::str = #name;
        const GENERIC: ::core::primitive::bool = #generic;
        const SINGLETON: ::core::primitive::bool = #singleton;
    }
}

/// What the store is to know of a field.
fn stored_field(object: &Object, field: &Field) -> TokenStream {
    let (private, ty, options) = (object.krate.private(), &field.ty, &field.options);
    let (name, aliases) = (field.stored_name(), &options.aliases);
    let shape = match options.with {
        None => quote_spanned!(at(ty)=> <#ty as #private::Storable>::shape),
        Some(_) => {
            let (wrapper, generics) = (wrapper(field, "Read"), generics(object));
            let args = generics.split_for_impl().1;
            quote!(#private::shape_with::<#wrapper #args>)
        }
    };
    let or_default = options.default.as_ref().map(|_| quote!(.or_default()));
    let old = old::shapes(object, field);
    quote!(#private::Field::new(#name, &[#(#aliases),*], #shape) #or_default #old)
}

/// Both uses of a type that cannot be stored, here and in `load`, are at the type, so that the compiler reports one error.
fn store(object: &Object, field: &Field) -> TokenStream {
    let (private, ident, ty) = (object.krate.private(), &field.ident, &field.ty);
    if field.options.with.is_some() {
        let (write, read, generics) = (wrapper(field, "Write"), wrapper(field, "Read"), generics(object));
        let args = generics.split_for_impl().1;
        return quote! {
            #private::store_with::<_, #read #args>(&#write(&self.#ident, ::core::marker::PhantomData::<Self>), __out)?;
        };
    }
    quote_spanned!(at(ty)=> <#ty as #private::Storable>::store(&self.#ident, __out)?;)
}

fn load(object: &Object, field: &Field, index: usize) -> TokenStream {
    match field.options.skip {
        Some(_) => default_of(object, field),
        None => old::load_field(object, field, index, load_stored(object, field, index)),
    }
}

fn load_stored(object: &Object, field: &Field, index: usize) -> TokenStream {
    let (private, ty, options) = (object.krate.private(), &field.ty, &field.options);
    let default = options.default.as_ref().map(|_| default_of(object, field));
    if options.with.is_some() {
        let wrapper = wrapper(field, "Read");
        let generics = generics(object);
        let args = generics.split_for_impl().1;
        return match default {
            None => quote!(#private::load_with::<#wrapper #args>(__fields, #index)?.0),
            Some(default) => {
                quote!(#private::load_with_or::<#wrapper #args>(__fields, #index, || #wrapper(#default, ::core::marker::PhantomData))?.0)
            }
        };
    }
    match default {
        None => quote_spanned!(at(ty)=> <#ty as #private::Storable>::load(__fields, #index)?),
        Some(default) => quote_spanned!(at(ty)=> <#ty as #private::Storable>::load_or(__fields, #index, || #default)?),
    }
}

/// At the type, for errors, but with names as the rest of the expansion has them.
fn at(ty: &Type) -> Span {
    ty.span().resolved_at(Span::call_site())
}

/// `path()` or the type's default.
fn default_of(object: &Object, field: &Field) -> TokenStream {
    let ty = &field.ty;
    match field.options.default.as_ref().and_then(|default| default.path.as_ref()) {
        Some(_) if !object.is_generic() => {
            let default = wrapper(field, "default");
            quote!(#default())
        }
        Some(path) => quote_spanned!(path.span().resolved_at(Span::call_site())=> #path()),
        None => quote_spanned!(at(ty)=> <#ty as ::core::default::Default>::default()),
    }
}

/// A function for a `default = path`, so that one of another type is one error, although there are two uses.
fn defaults(object: &Object) -> impl Iterator<Item = TokenStream> {
    object.fields.iter().filter(|_| !object.is_generic()).filter_map(|field| {
        let path = field.options.default.as_ref()?.path.as_ref()?;
        let (default, ty) = (wrapper(field, "default"), &field.ty);
        Some(quote_spanned!(path.span().resolved_at(Span::call_site())=> fn #default() -> #ty { #path() }))
    })
}

fn absent(object: &Object) -> TokenStream {
    if !object.default {
        return quote!(::core::option::Option::None);
    }
    let fields = object.fields.iter().map(|field| {
        let (ident, default) = (&field.ident, default_of(object, field));
        quote!(#ident: #default)
    });
    quote!(::core::option::Option::Some(Self { #(#fields),* }))
}

fn wrapper(field: &Field, what: &str) -> Ident {
    Ident::new(&format!("__{what}_{}", field.ident.unraw()), Span::mixed_site())
}

/// For `with = module`: types whose serde implementations call the module.
fn with_wrappers(object: &Object, field: &Field) -> Option<TokenStream> {
    let module = field.options.with.as_ref()?;
    let (private, ty) = (object.krate.private(), &field.ty);
    let (write, read) = (wrapper(field, "Write"), wrapper(field, "Read"));
    let generics = generics(object);
    let (_, args, clause) = generics.split_for_impl();
    let with_tx = handle_generics(&generics);
    let (impl_tx, args_tx, _) = with_tx.split_for_impl();
    let (tx, params_tx, params) = (tx(), &with_tx.params, &generics.params);
    let object = &object.ident;
    // At the option, for the error about a module without these functions.
    let span = module.span().resolved_at(Span::call_site());
    let serialize = quote_spanned!(span=> #module::serialize);
    let deserialize = quote_spanned!(span=> #module::deserialize);
    Some(quote! {
        struct #write<#params_tx>(&#tx #ty, ::core::marker::PhantomData<#object #args>) #clause;
        impl #impl_tx #private::serde::Serialize for #write #args_tx #clause {
            fn serialize<__S: #private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #serialize(self.0, __serializer)
            }
        }
        struct #read<#params>(#ty, ::core::marker::PhantomData<fn() -> #object #args>) #clause;
        impl #impl_tx #private::serde::Deserialize<#tx> for #read #args #clause {
            fn deserialize<__D: #private::serde::Deserializer<#tx>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                ::core::result::Result::map(#deserialize(__deserializer), |__value| {
                    Self(__value, ::core::marker::PhantomData)
                })
            }
        }
    })
}

fn singleton(object: &Object) -> TokenStream {
    let (ident, private) = (&object.ident, object.krate.private());
    let generics = storable_generics(object);
    let (impl_generics, args, clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #private::Singleton for #ident #args #clause {}
    }
}
