//! What is promised to users, and the mistakes on record of others, as tests. Most run on every engine.

mod atomic;
mod bounded;
mod conflicts;
mod durable;
mod evolution;
mod failed_disk;
mod isolation;
mod nested;
mod rebase;
mod sharing;
mod unchanged;
mod waiting;

use std::collections::HashMap;

use metaparticle::{Result, persistent, transactional};

/// A number, by text.
#[persistent(default)]
pub(crate) struct Counter {
    n: u64,
}

/// An account that must be opened before it is used.
#[persistent]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    balance: i64,
}

/// An object with parts that change independently of each other.
#[persistent(default)]
pub(crate) struct Page {
    visits: u64,
    title: String,
    tags: Vec<String>,
}

/// Words and how often they were met, stored as one text.
#[persistent(default)]
pub(crate) struct TextIndex {
    n: u64,
    #[persistent(with = as_json)]
    words: HashMap<String, u64>,
}

pub(crate) mod as_json {
    use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
    use serde::ser::{Error as _, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(value).map_err(S::Error::custom)?.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[transactional]
pub(crate) fn increment(counter: &mut Counter) -> Result<u64> {
    counter.n += 1;
    Ok(counter.n)
}

#[transactional]
pub(crate) fn count(counter: metaparticle::Ref<Counter>) -> Result<u64> {
    Ok(counter.n)
}

#[transactional]
pub(crate) fn transfer(from: &mut Account, to: &mut Account, amount: i64) -> Result<()> {
    from.balance -= amount;
    to.balance += amount;
    Ok(())
}
