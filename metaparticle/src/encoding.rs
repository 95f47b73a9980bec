//! The stored form of an object: each field in bincode, and a header that finds them. `docs/design.md` has it byte by byte.

mod decode;

use std::any::TypeId;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};

use bincode::config;
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use decode::decode;
pub(crate) use decode::{decode_from, decode_unlimited};

use crate::engine::RecordBytes;
use crate::error::{Error, ErrorKind, Result};
use crate::held::{held_bytes, is_plain};
use crate::persistent::{Field, OldStruct, Persistent};
use crate::schema::plan::Conversion;
use crate::schema::{Place, Plan, Schema};
use crate::shape::{Shape, shape_of, shape_of_stored, transcode};
use crate::written::Parts;

/// The first byte of every record, so that a later format is recognised.
const FORMAT: u8 = 1;
/// Format, schema number, number of fields.
const HEADER_BYTES: usize = 1 + 4 + 2;
/// What an object may take beside twice its record to be kept with it.
const SMALL: usize = 128;

/// A set of a type's fields, by index. Fields from the 128th on share one place: what holds for one is taken to hold for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FieldSet(u128);

impl FieldSet {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u128::MAX);
    /// The index of the first of those that share a place.
    const SHARED: usize = 127;

    pub(crate) fn of(index: usize) -> Self {
        Self(1 << index.min(Self::SHARED))
    }

    pub(crate) fn contains(self, index: usize) -> bool {
        self.0 & Self::of(index).0 != 0
    }

    /// Whether others share the place of the field with this index.
    pub(crate) fn is_shared(index: usize) -> bool {
        index >= Self::SHARED
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitAnd for FieldSet {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for FieldSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for FieldSet {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// An object's fields, encoded, in the order of the program's struct: a record, if the struct's own schema has the number that was
/// expected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoded {
    record: RecordBytes,
    /// How many fields the object has written.
    written: usize,
    /// How many bytes the object's fields have elsewhere in memory, if the record has all that the object has.
    held: Option<usize>,
}

impl Encoded {
    pub(crate) fn bytes(&self) -> &RecordBytes {
        &self.record
    }

    /// Whether the object, which takes so many bytes without what it points to, is nothing but what the record says, and takes hardly more
    /// memory.
    pub(crate) fn is_whole(&self, size: usize) -> bool {
        self.held.is_some_and(|held| held + size <= 2 * self.record.len() + SMALL)
    }

    pub(crate) fn field(&self, index: usize) -> Option<&[u8]> {
        RecordFields::of_parsed(&self.record)?.field(index).filter(|_| index < self.written)
    }

    /// The object's record with the struct's own schema, which has this number, if it was expected.
    pub(crate) fn record(&self, schema: u32) -> Option<&RecordBytes> {
        let fields = RecordFields::of_parsed(&self.record)?;
        (fields.schema == schema && fields.count() == self.written).then_some(&self.record)
    }

    /// The only field of a struct.
    fn only(bytes: &[u8]) -> Result<Self> {
        Ok(Self { record: compose_record(0, &[bytes])?.into(), written: 1, held: None })
    }
}

/// What an object's fields were before, to tell which have changed.
#[derive(Debug)]
pub(crate) enum Before {
    Nothing,
    Fields(Encoded),
    /// As in this record, which was looked at before.
    Record(RecordBytes, &'static Schema),
}

impl Before {
    fn field(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Nothing => None,
            Self::Fields(fields) => fields.field(index),
            Self::Record(bytes, schema) => RecordFields::of_parsed(bytes)?.field(schema.plan().as_is(index)?),
        }
    }

    /// The schema of the record that they are taken from.
    pub(crate) fn schema(&self) -> Option<&'static Schema> {
        match self {
            Self::Record(_, schema) => Some(schema),
            Self::Nothing | Self::Fields(_) => None,
        }
    }

    /// How many bytes a record of them takes, to allocate as many.
    fn size(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Fields(fields) => fields.record.len(),
            Self::Record(bytes, _) => bytes.len(),
        }
    }
}

/// Takes an object's fields one after the other and encodes them.
pub struct FieldWriter {
    fields: &'static [Field],
    /// A record: its head, an end for each field, and the bytes of those that were written.
    record: Vec<u8>,
    written: usize,
    before: Before,
    changed: FieldSet,
    held: Option<usize>,
}

impl FieldWriter {
    pub(crate) fn new(fields: &'static [Field], before: Before) -> Self {
        let schema = before.schema().map_or(0, Schema::number);
        let mut record = Vec::with_capacity(before.size().max(HEADER_BYTES + fields.len() * 4));
        // With more fields than a record can have, none is written.
        begin_record(&mut record, schema, u16::try_from(fields.len()).unwrap_or(u16::MAX));
        record.resize(HEADER_BYTES + fields.len() * 4, 0);
        Self { fields, record, written: 0, before, changed: FieldSet::NONE, held: Some(0) }
    }

    /// The fields, and which of them differ from before.
    pub(crate) fn finish(mut self) -> (Encoded, FieldSet) {
        // It may be kept for long.
        self.record.shrink_to_fit();
        (Encoded { record: self.record.into(), written: self.written, held: self.held }, self.changed)
    }

    /// Notes that the object has something that is not stored, or not as it is.
    pub fn leave_out(&mut self) {
        self.held = None;
    }

    fn hold<T: 'static>(&mut self, value: &T) {
        self.held = self.held.and_then(|held| Some(held + held_bytes(TypeId::of::<T>(), value)?));
    }

    /// Encodes the next field; `check` is asked whether changed bytes can be read back.
    fn put<T: Serialize>(&mut self, value: &T, check: impl Fn(&[u8]) -> Result<(), DecodeError>) -> Result<()> {
        let Some(field) = self.fields.get(self.written).filter(|_| self.fields.len() <= u16::MAX.into()) else {
            return Err(self.surplus());
        };
        let start = self.record.len();
        if let Err(error) = bincode::serde::encode_into_std_write(value, &mut self.record, config::standard()) {
            return Err(cannot_be_stored(field, error));
        }
        if self.end_field(field, start)? {
            check(&self.record[start..]).map_err(|error| cannot_be_read_back(field, error))?;
        }
        Ok(())
    }

    /// Whether the field's bytes, from `start`, are other ones than before.
    // A call for each field would be two instructions in a hundred of a transaction; in a build for debugging, it is compiled once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_field(&mut self, field: &Field, start: usize) -> Result<bool> {
        let index = self.written;
        let Ok(end) = u32::try_from(self.record.len() - HEADER_BYTES - self.fields.len() * 4) else {
            return Err(Error::new(ErrorKind::Limit, format!("the field `{}` takes more than 4 GiB", field.name())));
        };
        self.record[HEADER_BYTES + index * 4..][..4].copy_from_slice(&end.to_le_bytes());
        self.written += 1;
        let is_changed = self.before.field(index) != Some(&self.record[start..]);
        if is_changed {
            self.changed |= FieldSet::of(index);
        }
        Ok(is_changed)
    }

    /// There is no next field.
    fn surplus(&self) -> Error {
        match self.fields.len() > u16::MAX.into() {
            true => too_many(),
            false => Error::new(ErrorKind::Encoding, "the object has written more fields than it has"),
        }
    }
}

fn cannot_be_stored(field: &Field, error: EncodeError) -> Error {
    Error::with_source(ErrorKind::Encoding, format!("the field `{}` cannot be stored", field.name()), error)
}

/// Some types write what only a self-describing format can read. Better an error now than a record lost later.
fn cannot_be_read_back(field: &Field, error: DecodeError) -> Error {
    let name = field.name();
    let message = format!(
        "the field `{name}` cannot be stored, because its bytes could not be read back: types that need a self-describing \
         format, such as `serde_json::Value` and serde's `untagged`, `flatten`, `skip_serializing_if` and `skip` of variants, \
         need `#[persistent(with = module)]`"
    );
    Error::with_source(ErrorKind::Encoding, message, error)
}

impl fmt::Debug for FieldWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldWriter").field("fields", &self.written).finish_non_exhaustive()
    }
}

/// A type of fields: all that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a persistent struct",
    label = "cannot be stored",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; or say how with `#[persistent(with = module)]`; or leave the field out of the record with `#[persistent(skip)]`"
)]
pub trait Storable: Sized {
    /// Writes it as the next field.
    fn store(&self, out: &mut FieldWriter) -> Result<()>;
    /// Reads the field with this index.
    fn load(fields: &mut FieldReader<'_>, index: usize) -> Result<Self>;
    /// Reads the field with this index, or makes it where the record has none.
    fn load_or(fields: &mut FieldReader<'_>, index: usize, default: impl FnOnce() -> Self) -> Result<Self>;
    /// What its bytes mean.
    fn shape() -> Shape;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Storable for T {
    fn store(&self, out: &mut FieldWriter) -> Result<()> {
        out.hold(self);
        out.put(self, |bytes| {
            let read = decode::<T>(bytes)?;
            if is_plain(TypeId::of::<T>()) {
                return Ok(());
            }
            Ok(Parts::of(self)?.read_as(Parts::of(&read)?)?)
        })
    }

    fn load(fields: &mut FieldReader<'_>, index: usize) -> Result<Self> {
        fields.required(index)
    }

    fn load_or(fields: &mut FieldReader<'_>, index: usize, default: impl FnOnce() -> Self) -> Result<Self> {
        Ok(fields.optional(index)?.unwrap_or_else(default))
    }

    fn shape() -> Shape {
        shape_of_stored::<T>()
    }
}

/// The shape of a field with a `with` module.
pub fn shape_with<D: DeserializeOwned>() -> Shape {
    shape_of::<D>()
}

/// What a field or struct was before: its form, or a value made of it. One function gives either, so that a mistake in what it is
/// given is one error.
#[derive(Debug)]
pub enum Earlier<Form, New> {
    /// What its bytes mean.
    Form(Form),
    /// The value, where the record has the earlier form.
    Value(Result<Option<New>>),
}

impl<Form: Default, New> Earlier<Form, New> {
    /// What its bytes mean, where that was asked for.
    pub fn form(self) -> Form {
        match self {
            Self::Form(form) => form,
            Self::Value(_) => Form::default(),
        }
    }

    /// The value, where that was asked for.
    pub fn value(self) -> Result<Option<New>> {
        match self {
            Self::Form(_) => Ok(None),
            Self::Value(value) => value,
        }
    }
}

/// A field's earlier type is what `migrate` takes. Its shape; or, of a record's field with an index, the value, if the record has
/// it as the field's earlier type of this number.
pub fn earlier_field<Old: Storable, New>(
    record: Option<(&mut FieldReader<'_>, usize, usize)>,
    migrate: impl FnOnce(Old) -> New,
) -> Earlier<Shape, New> {
    let Some((fields, index, number)) = record else { return Earlier::Form(Old::shape()) };
    let value = || {
        let Some(bytes) = fields.old_bytes(index, number)? else { return Ok(None) };
        // Read as a record of one field: the earlier type is known by `Storable` only.
        let encoded = Encoded::only(&bytes)?;
        let field = fields.fields.get(index..=index).unwrap_or_default();
        Old::load(&mut FieldReader::new(field, Source::Encoded(&encoded)), 0).map(|old| Some(migrate(old)))
    };
    Earlier::Value(value())
}

/// A struct's earlier one is what `migrate` takes. Its fields; or, of a record, the object, if the record has the struct's earlier
/// form of this number.
pub fn earlier_struct<Old: Persistent, New>(
    record: Option<(&FieldReader<'_>, usize)>,
    migrate: impl FnOnce(Old) -> New,
) -> Earlier<OldStruct, New> {
    let Some((fields, number)) = record else {
        return Earlier::Form(OldStruct { fields: Old::FIELDS, old: Old::OLD });
    };
    Earlier::Value(match fields.source {
        Source::Record(record, Plan::Old(source, plan)) if *source == number => {
            Old::decode(&mut FieldReader::new(Old::FIELDS, Source::Record(record, plan))).map(|old| Some(migrate(old)))
        }
        _ => Ok(None),
    })
}

/// Writes the next field with a `with` module, which reads it as `D`.
pub fn store_with<S: Serialize, D: DeserializeOwned + 'static>(value: &S, out: &mut FieldWriter) -> Result<()> {
    out.leave_out();
    out.put(value, |bytes| {
        Parts::of(value)?;
        decode::<D>(bytes).map(drop)
    })
}

/// Reads a field with a `with` module.
pub fn load_with<D: DeserializeOwned + 'static>(fields: &mut FieldReader<'_>, index: usize) -> Result<D> {
    fields.required(index)
}

/// Reads a field with a `with` module, or makes it where the record has none.
pub fn load_with_or<D: DeserializeOwned + 'static>(
    fields: &mut FieldReader<'_>,
    index: usize,
    default: impl FnOnce() -> D,
) -> Result<D> {
    Ok(fields.optional(index)?.unwrap_or_else(default))
}

/// Where a [`FieldReader`] finds bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// What this transaction has written.
    Encoded(&'a Encoded),
    /// A record, and how the program's struct reads it.
    Record(RecordFields<'a>, &'a Plan),
}

/// Gives an object's fields by their index in the program's struct.
#[derive(Debug)]
pub struct FieldReader<'a> {
    fields: &'static [Field],
    source: Source<'a>,
    not_plain: Cell<FieldSet>,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(fields: &'static [Field], source: Source<'a>) -> Self {
        Self { fields, source, not_plain: Cell::new(FieldSet::NONE) }
    }

    /// Those that were read and are not of plain types.
    pub(crate) fn not_plain(&self) -> FieldSet {
        self.not_plain.get()
    }

    /// The field's bytes, as the program's type writes them.
    fn bytes(&self, index: usize) -> Result<Option<Cow<'a, [u8]>>> {
        match self.source {
            Source::Encoded(encoded) => Ok(encoded.field(index).map(Cow::Borrowed)),
            Source::Record(record, plan) => match plan.place(index) {
                Some(Place::AsIs(at)) => Ok(record.field(*at).map(Cow::Borrowed)),
                Some(Place::Converted(at, conversion)) => self.converted(index, record.field(*at), conversion),
                _ => Ok(None),
            },
        }
    }

    /// The field's bytes, as the earlier type of this number writes them, if the record has it so.
    fn old_bytes(&self, index: usize, number: usize) -> Result<Option<Cow<'a, [u8]>>> {
        let Source::Record(record, plan) = self.source else { return Ok(None) };
        match plan.place(index) {
            Some(Place::Old { at, source, conversion }) if *source == number => match conversion {
                None => Ok(record.field(*at).map(Cow::Borrowed)),
                Some(conversion) => self.converted(index, record.field(*at), conversion),
            },
            _ => Ok(None),
        }
    }

    fn converted(&self, index: usize, bytes: Option<&[u8]>, conversion: &Conversion) -> Result<Option<Cow<'a, [u8]>>> {
        let convert = |bytes| transcode(&conversion.from, &conversion.to, bytes);
        let converted = bytes.map(convert).transpose();
        Ok(converted.map_err(|error| error.within(format!("the stored field `{}`", self.name(index))))?.map(Cow::Owned))
    }

    fn name(&self, index: usize) -> &'static str {
        self.fields.get(index).map_or("?", Field::name)
    }

    fn decode<T: DeserializeOwned + 'static>(&self, index: usize, bytes: &[u8]) -> Result<T> {
        if !is_plain(TypeId::of::<T>()) {
            self.not_plain.set(self.not_plain.get() | FieldSet::of(index));
        }
        decode(bytes).map_err(|error| self.cannot_be_read(index, bytes.len(), std::any::type_name::<T>(), error))
    }

    fn cannot_be_read(&self, index: usize, size: usize, wanted: &str, error: DecodeError) -> Error {
        let name = self.name(index);
        let message = format!("the stored field `{name}` ({size} bytes) cannot be read as a {wanted}");
        Error::with_source(ErrorKind::Incompatible, message, error)
    }

    fn optional<T: DeserializeOwned + 'static>(&self, index: usize) -> Result<Option<T>> {
        self.bytes(index)?.map(|bytes| self.decode(index, &bytes)).transpose()
    }

    fn required<T: DeserializeOwned + 'static>(&self, index: usize) -> Result<T> {
        self.optional(index)?.ok_or_else(|| self.missing(index))
    }

    // Mostly, it is found when the schema of the record is looked at.
    fn missing(&self, index: usize) -> Error {
        Error::new(ErrorKind::Incompatible, format!("the record has no field `{}`", self.name(index)))
    }
}

/// The fields of a record, in the order of its schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFields<'a> {
    schema: u32,
    /// Little-endian `u32`s: where each field ends in `data`.
    ends: &'a [u8],
    data: &'a [u8],
}

impl<'a> RecordFields<'a> {
    /// Looks at every offset, so that `field` cannot go wrong.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let damaged = |what: &str| Error::new(ErrorKind::Corrupt, format!("the record is damaged: {what}"));
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(&other) => {
                let message = format!("the record has format {other}, and this program knows format {FORMAT} only");
                return Err(Error::new(ErrorKind::Incompatible, message));
            }
            None => return Err(damaged("it is empty")),
        }
        let fields = Self::of_parsed(bytes).ok_or_else(|| damaged("it is too short for its fields"))?;
        let (mut last, data) = (0, fields.data);
        for index in 0..fields.count() {
            let end = fields.end(index).unwrap_or(usize::MAX);
            if end < last || end > data.len() {
                return Err(damaged("its field offsets are out of order"));
            }
            last = end;
        }
        if last != data.len() {
            return Err(damaged("bytes are left over after its fields"));
        }
        Ok(fields)
    }

    /// The fields of a record that was parsed before.
    pub(crate) fn of_parsed(bytes: &'a [u8]) -> Option<Self> {
        let (&[_, s0, s1, s2, s3, c0, c1], rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (ends, data) = rest.split_at_checked(u16::from_le_bytes([c0, c1]) as usize * 4)?;
        Some(Self { schema: u32::from_le_bytes([s0, s1, s2, s3]), ends, data })
    }

    pub(crate) fn schema(&self) -> u32 {
        self.schema
    }

    pub(crate) fn count(&self) -> usize {
        self.ends.len() / 4
    }

    fn end(&self, index: usize) -> Option<usize> {
        let bytes = self.ends.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    }

    pub(crate) fn field(&self, index: usize) -> Option<&'a [u8]> {
        let start = if index == 0 { 0 } else { self.end(index - 1)? };
        self.data.get(start..self.end(index)?)
    }
}

/// Puts a record together from its fields' bytes.
pub(crate) fn compose_record(schema: u32, fields: &[&[u8]]) -> Result<Vec<u8>> {
    let data: usize = fields.iter().map(|field| field.len()).sum();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + fields.len() * 4 + data);
    begin_record(&mut bytes, schema, u16::try_from(fields.len()).map_err(|_| too_many())?);
    let mut end = 0;
    for field in fields {
        end += field.len();
        bytes.extend(u32::try_from(end).map_err(|_| too_many())?.to_le_bytes());
    }
    for field in fields {
        bytes.extend_from_slice(field);
    }
    Ok(bytes)
}

/// The head of a record.
fn begin_record(record: &mut Vec<u8>, schema: u32, fields: u16) {
    record.push(FORMAT);
    record.extend_from_slice(&schema.to_le_bytes());
    record.extend_from_slice(&fields.to_le_bytes());
}

fn too_many() -> Error {
    Error::new(ErrorKind::Limit, "a record can have at most 65,535 fields and 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_back_its_fields() {
        let bytes = compose_record(7, &[b"ab", b"", b"c"]).expect("composes");
        let record = RecordFields::parse(&bytes).expect("parses");
        assert_eq!((record.schema(), record.count()), (7, 3));
        assert_eq!(
            [record.field(0), record.field(1), record.field(2), record.field(3)],
            [Some(&b"ab"[..]), Some(b""), Some(b"c"), None]
        );
    }

    #[test]
    fn no_cut_or_flipped_record_panics() {
        let bytes = compose_record(1, &[b"hello", b"world"]).expect("composes");
        for len in 0..bytes.len() {
            assert!(RecordFields::parse(&bytes[..len]).is_err(), "a record cut to {len} bytes was accepted");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(record) = RecordFields::parse(&damaged) {
                for index in 0..record.count() {
                    record.field(index);
                }
            }
        }
    }

    #[test]
    fn fields_that_a_record_cannot_have_are_an_error() {
        let writer = |count: usize| {
            let fields = (0..count).map(|_| Field::new("f", &[], u8::shape)).collect::<Vec<_>>();
            FieldWriter::new(fields.leak(), Before::Nothing)
        };
        let mut most = writer(u16::MAX.into());
        7_u8.store(&mut most).expect("a record can have so many fields");
        let error = 7_u8.store(&mut writer(usize::from(u16::MAX) + 1)).expect_err("one more");
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        let mut one = writer(1);
        7_u8.store(&mut one).expect("its only field");
        let error = 8_u8.store(&mut one).expect_err("it has no other");
        assert_eq!(error.kind(), ErrorKind::Encoding, "{error}");
    }
}
