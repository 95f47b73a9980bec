//! Every option of both attributes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metaparticle::{Mut, Ref, Result, Store, persistent, transactional};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn store() -> Store {
    Store::open("memory:").expect("opens")
}

fn sixteen() -> u32 {
    16
}

mod as_seconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<SystemTime, D::Error> {
        Ok(UNIX_EPOCH + Duration::from_secs(u64::deserialize(deserializer)?))
    }
}

fn epoch() -> SystemTime {
    UNIX_EPOCH
}

#[persistent(name = "everything", default)]
#[derive(Debug)]
struct Everything {
    #[persistent(default = sixteen)]
    size: u32,
    #[persistent(rename = "t", alias = "old_title", alias = "older_title")]
    title: String,
    #[persistent(skip)]
    cached: Option<std::rc::Rc<str>>,
    #[persistent(skip, default = sixteen)]
    kept: u32,
    #[persistent(with = as_seconds, default = epoch)]
    changed: SystemTime,
    #[persistent(get = hits, set = "put_hits", default)]
    count: u64,
    r#type: u8,
}

impl Everything {
    /// Has the name of an accessor; stays reachable.
    fn size(&self) -> &'static str {
        "mine"
    }
}

#[transactional]
fn use_all(all: Mut<Everything>) -> Result<(u32, u64, u8)> {
    assert_eq!(Everything::size(&all), "mine");
    all.put_hits(all.hits() + 1);
    *all.hits_mut() += 1;
    all.set_type(all.r#type() + 1);
    all.set_changed(UNIX_EPOCH + Duration::from_millis(7_700));
    all.cached = Some("cached".into());
    all.kept = 1;
    Ok((*all.size(), *all.hits(), *all.r#type()))
}

#[test]
fn every_option_of_a_struct_and_its_fields() {
    let store = store();
    let _entered = store.enter();
    assert_eq!(use_all("a").expect("runs"), (16, 2, 1));
    assert_eq!(use_all("a").expect("runs"), (16, 4, 2));
    let read = store.transaction(|tx| {
        let all = tx.get::<Everything>("a")?;
        metaparticle::Ok((all.changed, all.cached.clone(), all.kept))
    });
    assert_eq!(read.expect("reads"), (UNIX_EPOCH + Duration::from_secs(7), None, 16));
}

#[persistent(default)]
struct Page<T, const N: usize = 2>
where
    T: Clone + Serialize + serde::de::DeserializeOwned,
{
    items: Vec<T>,
    #[persistent(skip)]
    unused: [u8; N],
    #[persistent(with = as_it_is, default)]
    last: Option<T>,
}

mod as_it_is {
    use super::*;

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

#[transactional]
fn push<T>(page: &mut Page<T>, item: T) -> Result<usize>
where
    T: Clone + Default + Serialize + serde::de::DeserializeOwned + 'static,
{
    page.items.push(item.clone());
    page.last = Some(item);
    Ok(page.items.len() + page.unused.len())
}

#[test]
fn generic_structs_are_types_of_their_own() {
    let store = store();
    let _entered = store.enter();
    assert_eq!(push("a", 1u64).expect("runs"), 3);
    assert_eq!(push("a", 2u64).expect("runs"), 4);
    assert_eq!(push("a", String::from("x")).expect("runs"), 3);
    let last = store.transaction(|tx| metaparticle::Ok(tx.get::<Page<String>>("a")?.last.clone()));
    assert_eq!(last.expect("reads"), Some("x".to_owned()));
}

#[test]
fn two_types_with_one_name_are_an_error_that_names_both() {
    mod other {
        #[metaparticle::persistent(name = "everything", default)]
        pub(super) struct Something {
            n: u64,
        }
    }
    let store = store();
    let _entered = store.enter();
    use_all("a").expect("runs");
    let error = store.transaction(|tx| tx.contains::<other::Something>("a")).expect_err("the name is taken");
    let said = error.to_string();
    assert!(said.contains("Everything") && said.contains("Something") && said.contains("name ="), "{said}");
}

#[test]
fn threads_that_use_a_type_first_at_once_do_not_clash() {
    for _ in 0..200 {
        let store = store();
        let start = std::sync::Barrier::new(4);
        metaparticle_tests::on_threads(4, |_| {
            start.wait();
            store.transaction(|tx| tx.contains::<Everything>("a")).expect("it is one type");
        });
    }
}

#[transactional(attempts = 2, timeout = "1500ms", durability = Durability::Eventual, read_only)]
fn with_all_options(page: Ref<Everything>) -> Result<u32> {
    Ok(page.size)
}

#[transactional(durability = "immediate", timeout = "2m")]
fn with_other_options(all: &mut Everything) -> Result<()> {
    all.size = 1;
    Ok(())
}

#[test]
fn every_option_of_a_function() {
    let store = store();
    let _entered = store.enter();
    with_other_options("a").expect("runs");
    assert_eq!(with_all_options("a").expect("runs"), 1);
}

#[test]
fn what_cannot_be_read_back_is_refused_before_it_is_written() {
    #[persistent(default)]
    struct Document {
        content: serde_json::Value,
    }
    let store = store();
    let error = store.transaction(|tx| tx.insert("d", Document { content: serde_json::json!({ "a": [1, 2] }) }));
    let error = error.expect_err("bincode cannot read it back");
    assert_eq!(error.kind(), metaparticle::ErrorKind::Encoding);
    let said = error.to_string();
    assert!(said.contains("Document \"d\"") && said.contains("`content`") && said.contains("with = module"), "{said}");
}

/// Without names, the bytes would be read as another variant.
#[test]
fn a_variant_that_would_be_read_as_another_one_is_refused_before_it_is_written() {
    #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
    enum State {
        Draft,
        #[serde(skip)]
        #[expect(dead_code, reason = "it only has to be between others")]
        Local,
        Sent,
        Paid,
    }
    #[persistent]
    struct Letter {
        state: Option<State>,
    }
    let store = store();
    let send = |state| store.transaction(|tx| tx.insert("l", Letter { state: Some(state) }));
    let error = send(State::Sent).expect_err("it would be read as `Paid`");
    assert_eq!(error.kind(), metaparticle::ErrorKind::Encoding);
    let said = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(said.contains("`state`") && said.contains("variant"), "{said}");
    send(State::Draft).expect("those before it are read as they are");
}

/// What is left out is not noticed where what follows can be read in its place.
#[test]
fn a_field_that_is_left_out_is_refused_before_it_is_written() {
    #[derive(Default, Serialize, Deserialize)]
    struct Limits {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<u64>,
        window: Option<(u64, u64)>,
    }
    #[persistent]
    struct Limited {
        limits: Limits,
    }
    let store = store();
    let insert = |most, window| store.transaction(|tx| tx.insert("l", Limited { limits: Limits { most, window } }));
    let error = insert(None, Some((5, 0))).expect_err("it would be read as `most: Some(5), window: None`");
    assert_eq!(error.kind(), metaparticle::ErrorKind::Encoding);
    let said = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(said.contains("`limits`") && said.contains("`most`") && said.contains("skip_serializing_if"), "{said}");
    insert(Some(1), None).expect("nothing is left out");
}

#[test]
fn a_field_without_a_name_that_is_left_out_is_refused_before_it_is_written() {
    #[derive(Default, Serialize, Deserialize)]
    struct Limits(#[serde(skip_serializing_if = "Option::is_none")] Option<u64>, Option<(u64, u64)>);
    #[persistent]
    struct Limited {
        limits: Limits,
    }
    let store = store();
    let insert = |most, window| store.transaction(|tx| tx.insert("l", Limited { limits: Limits(most, window) }));
    let error = insert(None, Some((5, 0))).expect_err("it would be read as `Some(5), None`");
    assert_eq!(error.kind(), metaparticle::ErrorKind::Encoding);
    insert(Some(1), None).expect("nothing is left out");
}

#[test]
fn a_module_that_cannot_read_what_it_writes_is_refused_before_it_is_written() {
    mod one_way {
        use serde::{Deserialize, Deserializer, Serializer, de::IgnoredAny};

        pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(*value)
        }

        /// Asks what comes, which bytes without names do not say.
        pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
            IgnoredAny::deserialize(deserializer).map(|_| 0)
        }
    }
    #[persistent]
    struct Price {
        #[persistent(with = one_way)]
        cents: u64,
    }
    let store = store();
    let error = store.transaction(|tx| tx.insert("p", Price { cents: 5 })).expect_err("nobody could read it");
    assert_eq!(error.kind(), metaparticle::ErrorKind::Encoding);
    assert!(error.to_string().contains("`cents`"), "{error}");
}

#[persistent(default)]
#[derive(Serialize, Deserialize)]
struct Comment {
    text: String,
    replies: Vec<Self>,
    #[persistent(with = as_it_is)]
    last: Option<Box<Self>>,
}

#[test]
fn a_struct_may_contain_itself_as_self() {
    let comment = |text: &str, replies| Comment { text: text.to_owned(), replies, last: None };
    let store = store();
    let replies = store.transaction(|tx| {
        tx.insert("c", comment("a", vec![comment("b", Vec::new())]))?;
        let mut stored = tx.get_mut::<Comment>("c")?;
        stored.replies_mut().push(comment("c", Vec::new()));
        stored.set_last(Some(Box::new(comment("d", Vec::new()))));
        metaparticle::Ok((stored.replies().len(), stored.last().as_ref().map(|last| last.text.clone())))
    });
    assert_eq!(replies.expect("commits"), (2, Some("d".to_owned())));
}

/// A name of its own would be the name of both again.
#[test]
fn generic_types_with_one_name_are_an_error_that_can_be_followed() {
    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Item;
    mod other {
        #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
        pub(super) struct Item;
    }
    let store = store();
    store.transaction(|tx| tx.contains::<Page<Item>>("a")).expect("the first one");
    let error = store.transaction(|tx| tx.contains::<Page<other::Item>>("a")).expect_err("they have one name");
    let said = error.to_string();
    assert!(said.contains("other::Item") && said.contains("one of these needs another name"), "{said}");
}
