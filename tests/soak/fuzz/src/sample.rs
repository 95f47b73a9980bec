//! A type that was changed in every way that old records are read through, and what it was before.

use metaparticle::fuzzing::Reader;
use metaparticle::persistent;
use serde::{Deserialize, Serialize};

pub mod first {
    //! Before all changes.

    use super::*;

    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub enum State {
        #[default]
        New,
        Done(u32),
    }

    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub struct Point {
        pub x: i16,
        pub y: i16,
    }

    #[persistent(name = "sample", key = (String, i32), default)]
    #[derive(Debug)]
    pub struct Sample {
        pub count: u16,
        pub title: String,
        pub state: State,
        pub point: Point,
        pub ratio: f32,
        pub numbers: Vec<u8>,
        pub gone: u64,
        pub stamp: u32,
    }
}

pub mod now {
    //! After them, with fields of every shape.

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub enum State {
        Waiting {
            since: u64,
            why: Option<String>,
        },
        #[default]
        New,
        Done(u64),
        Undone(Box<State>),
    }

    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub struct Point {
        pub y: i64,
        pub z: Option<i8>,
        pub x: i32,
    }

    /// Lists in lists.
    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub struct Tree {
        pub label: String,
        pub children: Vec<Tree>,
    }

    /// One in the other.
    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub struct Chain(pub Option<Box<Chain>>);

    #[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
    pub struct Stamp(pub i64);

    impl From<u32> for Stamp {
        fn from(seconds: u32) -> Self {
            Self(i64::from(seconds))
        }
    }

    #[persistent(name = "sample", key = (String, i32), default)]
    #[derive(Debug)]
    pub struct Sample {
        pub count: u64,
        #[persistent(alias = "title")]
        pub name: Option<String>,
        pub state: State,
        pub point: Point,
        pub ratio: f64,
        pub numbers: Vec<i32>,
        #[persistent(from = u32)]
        pub stamp: Stamp,
        #[persistent(default)]
        pub map: BTreeMap<String, Vec<(u8, i128)>>,
        #[persistent(default)]
        pub set: BTreeSet<char>,
        #[persistent(default)]
        pub tree: Tree,
        #[persistent(default)]
        pub chain: Chain,
        #[persistent(default)]
        pub nothings: Vec<()>,
        #[persistent(default)]
        pub array: [Option<bool>; 3],
    }
}

/// The schemas of a store that both versions of the program have used: 0 of the first, 1 of the last. No store is opened for them: with
/// all engines in the program, libFuzzer would look at their marks after each input.
pub fn schemas() -> Vec<u8> {
    let (first, last) = (Reader::<first::Sample>::default().schemas(), Reader::<now::Sample>::default().schemas());
    // The list of schemas is the last thing in the record: one schema becomes two.
    let list = 1 + 1 + "(text, i32)".len();
    assert_eq!(first[..list], last[..list], "the same key");
    assert_eq!((first[list], last[list]), (1, 1), "a list of one");
    [&first[..list], &[2], &first[list + 1..], &last[list + 1..]].concat()
}
