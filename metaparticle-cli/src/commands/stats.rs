//! `stats`: sizes, and which schemas are in use, by type.

use std::collections::BTreeMap;

use indicatif::{HumanBytes, HumanCount};
use metaparticle::inspect::{Inspector, Place, StoredType, place};
use serde_json::{Map, Value as Json, json};

use crate::failure::Failure;
use crate::output::{Output, shown, table};
use crate::progress::Progress;

#[derive(Default)]
struct Sizes {
    objects: u64,
    key_bytes: u64,
    bytes: u64,
    largest: u64,
    /// How many objects follow each schema.
    schemas: BTreeMap<u32, u64>,
    unreadable: u64,
}

impl Sizes {
    fn add(&mut self, key_bytes: usize, bytes: &[u8], stored: Option<&StoredType>) {
        self.objects += 1;
        self.key_bytes += key_bytes as u64;
        self.bytes += bytes.len() as u64;
        self.largest = self.largest.max(bytes.len() as u64);
        match stored.and_then(|stored| stored.decode(bytes).ok()) {
            Some(record) => *self.schemas.entry(record.schema).or_default() += 1,
            None => self.unreadable += 1,
        }
    }
}

pub(crate) fn run(inspector: &Inspector, out: &mut Output) -> Result<(), Failure> {
    let types: BTreeMap<String, StoredType> =
        inspector.types()?.into_iter().filter_map(|(name, stored)| Some((name, stored.ok()?))).collect();
    let mut sizes: BTreeMap<String, Sizes> = types.keys().map(|name| (name.clone(), Sizes::default())).collect();
    let progress = Progress::over("stats", inspector, &[Inspector::everything()]);
    for found in inspector.records(Inspector::everything()) {
        let (key, record) = found?;
        progress.step();
        if let Place::Object(name) = place(&key) {
            let stored = types.get(&name);
            sizes.entry(name).or_default().add(key.len(), &record.bytes, stored);
        }
    }
    drop(progress);
    show(&sizes, out)
}

fn show(types: &BTreeMap<String, Sizes>, out: &mut Output) -> Result<(), Failure> {
    let mut lines = table(&["type", "objects", "keys", "records", "mean", "largest", "objects by schema"], &[1, 2, 3, 4, 5]);
    for (name, sizes) in types {
        let mean = sizes.bytes / sizes.objects.max(1);
        if out.json {
            let schemas: Map<String, Json> = sizes.schemas.iter().map(|(n, count)| (n.to_string(), (*count).into())).collect();
            out.object(json!({
                "type": name, "objects": sizes.objects, "key_bytes": sizes.key_bytes, "bytes": sizes.bytes, "mean": mean,
                "largest": sizes.largest, "by_schema": schemas, "unreadable": sizes.unreadable,
            }))?;
            continue;
        }
        let mut schemas: Vec<String> = sizes.schemas.iter().map(|(number, count)| format!("{number}: {count}")).collect();
        if sizes.unreadable > 0 {
            schemas.push(format!("unreadable: {}", sizes.unreadable));
        }
        let human = |bytes: u64| HumanBytes(bytes).to_string();
        let objects = HumanCount(sizes.objects).to_string();
        let columns = [human(sizes.key_bytes), human(sizes.bytes), human(mean), human(sizes.largest), schemas.join(", ")];
        lines.add_row([shown(name), objects].into_iter().chain(columns));
    }
    if out.json { Ok(()) } else { out.table(&lines) }
}
