//! The names of fields and variants, where serde gives their aliases as well: as many names as there are for all of them, in their order,
//! and nothing that tells which are of one. What the type writes has each of them once.

use std::collections::HashMap;

use super::{Fields, Known, Node};
use crate::written::Notes;

/// What was written, by the names of types.
#[derive(Default)]
pub(super) struct Names {
    variants: HashMap<&'static str, HashMap<u32, &'static str>>,
    /// `None`: types of one name have different fields.
    fields: HashMap<(&'static str, Option<&'static str>), Option<Vec<&'static str>>>,
}

impl Notes for Names {
    fn variant(&mut self, of: &'static str, index: u32, variant: &'static str) {
        self.variants.entry(of).or_default().insert(index, variant);
    }

    fn fields(&mut self, of: &'static str, variant: Option<&'static str>, fields: &[&'static str]) {
        let known = self.fields.entry((of, variant)).or_insert_with(|| Some(fields.to_vec()));
        if known.as_ref().is_some_and(|known| known != fields) {
            *known = None;
        }
    }
}

impl Names {
    /// Gives types with aliases the names that were written.
    pub(super) fn give(&self, types: &mut [Known]) {
        for known in types {
            let name = known.name;
            if known.is_enum {
                self.give_variants(known);
            }
            for variant in &mut known.variants {
                let written = self.fields.get(&(name, known.is_enum.then_some(variant.name)));
                if let (Fields::Named(fields), Some(Some(written))) = (&mut variant.fields, written) {
                    give_fields(fields, written);
                }
            }
        }
    }

    fn give_variants(&self, known: &mut Known) {
        let there = known.variants.iter().take_while(|variant| !variant.refused).count();
        let (variants, aliases) = known.variants.split_at_mut(there);
        let written = self.variants.get(known.name);
        let names: Option<Vec<_>> = (0..there as u32).map(|index| written?.get(&index).copied()).collect();
        let Some(names) = names.filter(|_| !aliases.is_empty() && aliases.iter().all(|variant| variant.refused)) else { return };
        variants.iter_mut().zip(names).for_each(|(variant, name)| variant.name = name);
        known.variants.truncate(there);
    }
}

/// Those for which there is no field have not been asked for.
fn give_fields(fields: &mut Vec<(String, Node)>, written: &[&'static str]) {
    if written.len() < fields.len() && fields[written.len()..].iter().all(|(_, node)| *node == Node::Opaque) {
        fields.truncate(written.len());
        fields.iter_mut().zip(written).for_each(|(field, name)| field.0 = (*name).to_owned());
    }
}
