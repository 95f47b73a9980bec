//! How a struct reads records of a stored schema: field by field, through conversions, or through the struct that it was before.

use crate::encoding::FieldSet;
use crate::persistent::{Field, OldStruct};
use crate::shape::{Fit, Shape, fit};

use super::StoredField;

/// How long a chain of earlier structs may be.
const CHAIN: usize = 64;

/// The shapes of a struct's fields, and of what they were before.
#[derive(Debug)]
pub(crate) struct StructShape {
    pub(super) fields: Vec<FieldShape>,
    old: Vec<StructShape>,
}

#[derive(Debug)]
pub(super) struct FieldShape {
    field: &'static Field,
    pub(super) shape: Shape,
    old: Vec<Shape>,
}

impl StructShape {
    pub(crate) fn new(fields: &'static [Field], old: &'static [fn() -> OldStruct]) -> Self {
        Self::in_chain(fields, old, 0)
    }

    fn in_chain(fields: &'static [Field], old: &'static [fn() -> OldStruct], length: usize) -> Self {
        let field = |field: &'static Field| {
            let old = field.old().iter().map(|shape| shape()).collect();
            FieldShape { field, shape: field.shape(), old }
        };
        // A struct may be made from another and that one from it; a record is only ever read through one end of the circle.
        let old = if length < CHAIN { old } else { &[] };
        let old_struct = |old: &fn() -> OldStruct| {
            let OldStruct { fields, old } = old();
            Self::in_chain(fields, old, length + 1)
        };
        Self { fields: fields.iter().map(field).collect(), old: old.iter().map(old_struct).collect() }
    }

    /// The fields of which equal values may be written as different bytes.
    pub(super) fn unordered(&self) -> FieldSet {
        let unordered = self.fields.iter().enumerate().filter(|(_, field)| !field.shape.is_ordered());
        unordered.fold(FieldSet::NONE, |all, (index, _)| all | FieldSet::of(index))
    }

    /// The schema that the struct is written in.
    pub(super) fn stored(&self) -> Vec<StoredField> {
        let stored = |field: &FieldShape| StoredField { name: field.field.name().to_owned(), shape: field.shape.clone() };
        self.fields.iter().map(stored).collect()
    }
}

/// How records of one schema are read.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Each field of the struct from a place in the record.
    Fields(Vec<Place>),
    /// As the earlier struct of this number, which is then converted.
    Old(usize, Box<Plan>),
}

/// Where a field's value comes from.
#[derive(Debug)]
pub(crate) enum Place {
    /// From its default.
    Absent,
    /// From the record's field of this number, as it is.
    AsIs(usize),
    /// From the record's field of this number, in another shape.
    Converted(usize, Box<Conversion>),
    /// From the record's field of this number, which is of the type that the field had before; and that again in another shape.
    Old { at: usize, source: usize, conversion: Option<Box<Conversion>> },
}

#[derive(Debug)]
pub(crate) struct Conversion {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
}

impl Place {
    /// The number of the record's field.
    pub(crate) fn at(&self) -> Option<usize> {
        match self {
            Self::Absent => None,
            Self::AsIs(at) | Self::Converted(at, _) | Self::Old { at, .. } => Some(*at),
        }
    }
}

/// Why records of a schema cannot be read.
#[derive(Clone, Debug)]
pub(crate) enum Misfit {
    /// The struct has a field that they do not have.
    Missing(&'static str),
    /// A field has another shape, which differs at this place inside of it.
    Shape(Box<ShapeMisfit>),
}

#[derive(Clone, Debug)]
pub(crate) struct ShapeMisfit {
    field: &'static str,
    stored: Shape,
    wanted: Shape,
    at: String,
}

impl Misfit {
    /// What is wrong, and what to write.
    pub(crate) fn explain(&self, type_name: &str) -> String {
        match self {
            Self::Missing(field) => format!(
                "the store has {type_name} without the field `{field}`: if the field is new, write `#[persistent(default)]` on it; \
                 if it was renamed, `#[persistent(alias = \"the old name\")]`"
            ),
            Self::Shape(misfit) => {
                let ShapeMisfit { field, stored, wanted, at } = &**misfit;
                let inside = if at.is_empty() { String::new() } else { format!(" (they differ at `{field}{at}`)") };
                let old = stored.plain_type().unwrap_or_else(|| "OldType".to_owned());
                format!(
                    "the store has the field `{field}` of {type_name} as {stored}, and the program has {wanted}{inside}: write \
                     `#[persistent(from = \"{old}\")]` on the field and implement `From<{old}>` for its type, or \
                     `#[persistent(migrate = function)]`; or give the field another name"
                )
            }
        }
    }
}

impl Plan {
    /// How `own` reads records of the schema `stored`. Of several ways, the one that leaves least unread, then least to
    /// defaults, then least to conversions, then the shortest.
    pub(crate) fn new(stored: &[StoredField], own: &StructShape) -> Result<Self, Misfit> {
        let direct = Self::fields(stored, own);
        let old = own.old.iter().enumerate().filter_map(|(number, old)| {
            let plan = Self::new(stored, old).ok()?;
            let unread = plan.unread(stored.len());
            // A field that nobody reads must not be taken for one of the struct.
            let clash = own.fields.iter().any(|own| unread.iter().any(|at| stored[*at].name == own.field.name()));
            (!clash).then(|| Self::Old(number, Box::new(plan)))
        });
        match direct {
            Ok(direct) => Ok(std::iter::once(direct)
                .chain(old)
                .min_by_key(|plan| plan.cost(stored.len()))
                .unwrap_or(Self::Fields(Vec::new()))),
            Err(misfit) => old.min_by_key(|plan| plan.cost(stored.len())).ok_or(misfit),
        }
    }

    fn fields(stored: &[StoredField], own: &StructShape) -> Result<Self, Misfit> {
        own.fields.iter().map(|field| place(stored, field)).collect::<Result<_, _>>().map(Self::Fields)
    }

    /// The record's fields that are not read, by number.
    pub(crate) fn unread(&self, count: usize) -> Vec<usize> {
        match self {
            Self::Old(_, plan) => plan.unread(count),
            Self::Fields(places) => (0..count).filter(|at| !places.iter().any(|place| place.at() == Some(*at))).collect(),
        }
    }

    fn cost(&self, count: usize) -> (usize, usize, usize, usize) {
        match self {
            Self::Old(_, plan) => {
                let (unread, absent, converted, length) = plan.cost(count);
                (unread, absent, converted, length + 1)
            }
            Self::Fields(places) => {
                let number = |is: fn(&Place) -> bool| places.iter().filter(|place| is(place)).count();
                let converted = number(|place| matches!(place, Place::Converted(..) | Place::Old { conversion: Some(_), .. }));
                (self.unread(count).len(), number(|place| matches!(place, Place::Absent)), converted, 0)
            }
        }
    }

    /// The place of the struct's field of this number; `None` where the record is read as an earlier struct.
    pub(crate) fn place(&self, index: usize) -> Option<&Place> {
        match self {
            Self::Fields(places) => places.get(index),
            Self::Old(..) => None,
        }
    }

    /// The record's field that is this field of the struct, byte for byte.
    pub(crate) fn as_is(&self, index: usize) -> Option<usize> {
        match self.place(index) {
            Some(Place::AsIs(at)) => Some(*at),
            _ => None,
        }
    }

    /// Whether every field of the struct is one of the record, byte for byte.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Fields(places) if places.iter().all(|place| matches!(place, Place::AsIs(_))))
    }
}

fn place(stored: &[StoredField], own: &FieldShape) -> Result<Place, Misfit> {
    let field = own.field;
    // A field's present name wins over an older one, if a record has both.
    let present = stored.iter().position(|stored| stored.name == field.name());
    let Some(at) = present.or_else(|| stored.iter().position(|stored| field.answers_to(&stored.name))) else {
        return if field.has_default() { Ok(Place::Absent) } else { Err(Misfit::Missing(field.name())) };
    };
    let from = &stored[at].shape;
    let fits = |to: &Shape| fit(from, to);
    let direct = fits(&own.shape);
    if direct == Ok(Fit::Same) {
        return Ok(Place::AsIs(at));
    }
    let conversion = |to: &Shape| Box::new(Conversion { from: from.clone(), to: to.clone() });
    // An earlier type is something that the program has said; what is read without being asked comes after it.
    if let Some(source) = own.old.iter().position(|old| fits(old) == Ok(Fit::Same)) {
        return Ok(Place::Old { at, source, conversion: None });
    }
    if direct.is_ok() {
        return Ok(Place::Converted(at, conversion(&own.shape)));
    }
    if let Some((source, old)) = own.old.iter().enumerate().find(|(_, old)| fits(old).is_ok()) {
        return Ok(Place::Old { at, source, conversion: Some(conversion(old)) });
    }
    let at = direct.err().unwrap_or_default();
    Err(Misfit::Shape(Box::new(ShapeMisfit { field: field.name(), stored: from.clone(), wanted: own.shape.clone(), at })))
}
