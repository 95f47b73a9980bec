//! The program's schemas as a file in its source tree, so that a change of a struct which could not read what was stored before
//! fails a test, and not a service.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::plan::{Misfit, Plan, StructShape};
use super::record::StoredField;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::persistent::{Persistent, stored_name};
use crate::shape::Shape;

/// The format of the file.
const FORMAT: u32 = 1;
/// Set to `write`, it has the file written instead of compared.
const VARIABLE: &str = "METAPARTICLE_SCHEMA";

/// The schemas of a program's types, compared with those that were committed to its source tree.
///
/// ```no_run
/// # use metaparticle::{persistent, SchemaFile};
/// # #[persistent(default)] struct Visits { count: u64 }
/// # #[persistent] struct Account { balance: i64 }
/// // In a test:
/// SchemaFile::new(concat!(env!("CARGO_MANIFEST_DIR"), "/metaparticle.schema"))
///     .with::<Visits>()
///     .with::<Account>()
///     .verify()
///     .unwrap();
/// ```
///
/// The file has every schema that was ever committed. `METAPARTICLE_SCHEMA=write cargo test` adds what has changed to it.
#[must_use = "nothing is compared until `verify` is called"]
#[derive(Debug)]
pub struct SchemaFile {
    path: PathBuf,
    types: Vec<Type>,
}

/// A type of the program.
#[derive(Debug)]
struct Type {
    name: String,
    key_type: String,
    own: StructShape,
}

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    format: u32,
    types: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    key: String,
    schemas: Vec<Vec<Field>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Field {
    name: String,
    /// The shape in words, for people.
    #[serde(default)]
    is: String,
    shape: Shape,
}

impl SchemaFile {
    /// The file at `path`. In a test, the current folder is that of the package.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), types: Vec::new() }
    }

    /// The same, with the type `T`.
    pub fn with<T: Persistent>(mut self) -> Self {
        let (name, key_type) = (stored_name::<T>().into_owned(), T::Key::type_name());
        self.types.push(Type { name, key_type, own: StructShape::new(T::FIELDS, T::OLD) });
        self
    }

    /// Compares the program's types with the file; with `METAPARTICLE_SCHEMA=write` in the environment, adds to the file what has
    /// changed, if all that the file has can still be read.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) with the difference, if something in the file could not be read, if a type has
    /// changed and the file does not have it yet, or if it has a type that the program does not;
    /// [`Setup`](ErrorKind::Setup) if the file cannot be read or written.
    pub fn verify(self) -> Result<()> {
        let write = std::env::var_os(VARIABLE).is_some_and(|value| value == "write");
        self.run(write)
    }

    fn run(self, write: bool) -> Result<()> {
        let mut content = self.read()?;
        let mut problems = Vec::new();
        let mut changes = Vec::new();
        for known in &self.types {
            let entry = content.types.entry(known.name.clone()).or_default();
            let own: Vec<Field> = known.own.stored().into_iter().map(Field::from).collect();
            if entry.schemas.is_empty() {
                entry.key.clone_from(&known.key_type);
            }
            match known.unreadable(entry) {
                Some(problem) => problems.push(problem),
                None if entry.schemas.iter().any(|schema| is_same(schema, &own)) => {}
                None => {
                    changes.push(format!("{} is now\n{}", known.name, show(&own)));
                    entry.schemas.push(own);
                }
            }
        }
        problems.extend(self.missing(&content));
        if problems.is_empty() && !changes.is_empty() && write {
            return self.write(&content);
        }
        if problems.is_empty() && !changes.is_empty() {
            problems.push(format!(
                "{}\nWhat is stored can be read. Run the test with {VARIABLE}=write, and commit the file",
                changes.join("\n")
            ));
        }
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("the program does not fit {}:\n\n{}", self.path.display(), problems.join("\n\n"));
        Err(Error::new(ErrorKind::Incompatible, message))
    }

    /// Types of the file that the program does not have.
    fn missing(&self, content: &Content) -> Option<String> {
        let is_known = |name: &&String| self.types.iter().any(|known| known.name == **name);
        let missing: Vec<&str> = content.types.keys().filter(|name| !is_known(name)).map(String::as_str).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "the program has no {}: if the struct has another name now, write `#[persistent(name = \"{}\")]` on it, or its \
                 objects will not be found; if it is gone, remove it from the file; otherwise add it with `.with::<…>()`",
                missing.join(", "),
                missing[0]
            )
        })
    }

    fn read(&self) -> Result<Content> {
        let problem = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
            Error::with_source(ErrorKind::Setup, format!("the schema file {} {what}", self.path.display()), error)
        };
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content { format: FORMAT, ..Content::default() }),
            Err(error) => return Err(problem("cannot be read", error.into())),
        };
        let content: Content = serde_json::from_str(&text).map_err(|error| problem("is damaged", error.into()))?;
        if content.format == FORMAT {
            return Ok(content);
        }
        Err(problem("is of another version of metaparticle", format!("format {}", content.format).into()))
    }

    fn write(&self, content: &Content) -> Result<()> {
        let failed = |error: io::Error| {
            Error::with_source(ErrorKind::Setup, format!("the schema file {} cannot be written", self.path.display()), error)
        };
        let text = serde_json::to_string_pretty(content).map_err(io::Error::from).map_err(failed)?;
        fs::write(&self.path, text + "\n").map_err(failed)
    }
}

impl Type {
    /// What of the file's entry the type could not read.
    fn unreadable(&self, entry: &Entry) -> Option<String> {
        if entry.key != self.key_type {
            return Some(format!("{} was stored with keys of type {}, and now has {}", self.name, entry.key, self.key_type));
        }
        entry.schemas.iter().find_map(|schema| {
            let stored: Vec<StoredField> = schema.iter().map(StoredField::from).collect();
            let misfit: Misfit = Plan::new(&stored, &self.own).err()?;
            let own: Vec<Field> = self.own.stored().into_iter().map(Field::from).collect();
            Some(format!(
                "{} can no longer be read. It was stored as\n{}and the program has\n{}{}",
                self.name,
                show(schema),
                show(&own),
                misfit.explain(&self.name)
            ))
        })
    }
}

fn is_same(one: &[Field], other: &[Field]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.name == other.name && one.shape == other.shape)
}

fn show(fields: &[Field]) -> String {
    fields.iter().fold(String::new(), |mut text, field| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {}: {}", field.name, field.shape);
        text
    })
}

impl From<StoredField> for Field {
    fn from(field: StoredField) -> Self {
        Self { is: field.shape.to_string(), name: field.name, shape: field.shape }
    }
}

impl From<&Field> for StoredField {
    fn from(field: &Field) -> Self {
        Self { name: field.name.clone(), shape: field.shape.clone() }
    }
}
