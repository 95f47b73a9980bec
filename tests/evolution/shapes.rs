//! Types inside of fields that change, and types that cannot be traced.

use std::collections::BTreeMap;

use metaparticle::{ErrorKind, Result, Store, persistent};
use serde::{Deserialize, Serialize};

use metaparticle_tests::programs::Shared;

mod before {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(super) enum State {
        New,
        Sent { by: String },
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Line {
        pub(super) item: String,
        pub(super) count: u8,
    }

    #[persistent(name = "Parcel")]
    pub(super) struct Parcel {
        pub(super) state: State,
        pub(super) lines: Vec<Line>,
        pub(super) weights: BTreeMap<String, f32>,
    }
}

mod after {
    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(super) enum State {
        New,
        Lost,
        Sent { by: String, at: Option<u64> },
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(super) struct Line {
        pub(super) count: u32,
        pub(super) item: String,
        pub(super) gift: Option<bool>,
    }

    #[persistent(name = "Parcel")]
    pub(super) struct Parcel {
        pub(super) state: State,
        pub(super) lines: Option<Vec<Line>>,
        pub(super) weights: BTreeMap<String, f64>,
    }
}

fn parcels() -> Shared {
    let engine = Shared::in_memory();
    engine
        .program()
        .transaction(|tx| {
            let parcel = |state, lines| before::Parcel { state, lines, weights: [("box".to_owned(), 0.5)].into() };
            tx.insert("new", parcel(before::State::New, vec![]))?;
            let lines = vec![before::Line { item: "tea".to_owned(), count: 200 }];
            tx.insert("sent", parcel(before::State::Sent { by: "ship".to_owned() }, lines))
        })
        .expect("inserts");
    engine
}

#[test]
fn structs_and_enums_inside_of_fields_may_grow() {
    let engine = parcels();
    let store = engine.program();
    let check = |tx: &metaparticle::Tx| {
        assert_eq!(tx.get::<after::Parcel>("new")?.state, after::State::New);
        let sent = tx.get::<after::Parcel>("sent")?;
        assert_eq!(sent.state, after::State::Sent { by: "ship".to_owned(), at: None });
        assert_eq!(sent.lines, Some(vec![after::Line { count: 200, item: "tea".to_owned(), gift: None }]));
        assert_eq!(sent.weights["box"], 0.5);
        metaparticle::Ok(())
    };
    store.transaction(check).expect("reads");
    let change = |tx: &metaparticle::Tx| {
        tx.get_mut::<after::Parcel>("new")?.state = after::State::Lost;
        metaparticle::Ok(())
    };
    store.transaction(change).expect("changes");
    // One record was rewritten, the other not; both are read.
    let states = |tx: &metaparticle::Tx| {
        let entries: Result<Vec<_>> = tx.range::<after::Parcel>(..).collect();
        Ok::<_, metaparticle::Error>(entries?.iter().map(|(_, parcel)| parcel.state == after::State::Lost).collect::<Vec<_>>())
    };
    assert_eq!(engine.program().transaction(states).expect("reads"), [true, false]);
}

mod shrunk {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(super) enum State {
        New,
    }

    #[persistent(name = "Parcel")]
    pub(super) struct Parcel {
        pub(super) state: State,
    }
}

#[test]
fn a_variant_that_is_gone_is_found_at_first_use() {
    let store = parcels().program();
    // Although this object could be read.
    let error = store.transaction(|tx| tx.get::<shrunk::Parcel>("new").map(drop)).expect_err("`Sent` is gone");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let said = error.to_string();
    for part in
        ["Parcel", "`state`", "enum State { New, Sent { by: text } }", "enum State { New }", "`state::Sent`", "#[persistent("]
    {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert!(matches!(shrunk::State::New, shrunk::State::New));
}

/// Deserialized by looking at the data, so that it needs a module to be stored.
mod as_json {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[persistent]
struct Document {
    #[persistent(with = as_json)]
    json: serde_json::Value,
    address: std::net::IpAddr,
    count: std::num::NonZeroU64,
}

#[test]
fn types_that_refuse_most_values_are_stored_and_read() {
    let engine = Shared::in_memory();
    let document = Document {
        json: serde_json::json!({ "a": [1, null] }),
        address: [127, 0, 0, 1].into(),
        count: std::num::NonZeroU64::MIN,
    };
    let store: Store = engine.program();
    store.transaction(|tx| tx.insert("d", Document { json: document.json.clone(), ..document })).expect("inserts");
    let read = |tx: &metaparticle::Tx| {
        let read = tx.get::<Document>("d")?;
        Ok::<_, metaparticle::Error>((read.json["a"][0].clone(), read.address.is_loopback(), read.count.get()))
    };
    assert_eq!(engine.program().transaction(read).expect("reads"), (serde_json::json!(1), true, 1));
}
