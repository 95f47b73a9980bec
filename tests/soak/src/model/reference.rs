//! What a program must come to: the same on plain maps.

use std::collections::BTreeMap;

use metaparticle::ErrorKind;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::machine::evolving;
use super::program::{Bounds, Call, Change, End, Op, Step, Then, Transaction, Type, Value, Version, step};

/// What a program sees of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Value(Option<Value>),
    Number(Option<u64>),
    Is(bool),
    Keys(Vec<u8>),
    Entries(Vec<(u8, Value)>),
    Error(ErrorKind),
    /// A nested function, or the transaction, has ended.
    Ended(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    AsPlanned(End),
    /// By an error of metaparticle.
    Error(ErrorKind),
}

/// The objects of each type, by their keys.
pub(super) type Objects = BTreeMap<(u8, u8), Value>;

#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Whether the program will have several versions.
    pub(super) evolves: bool,
    /// Whether all objects are looked at after each step. That is a step of its own: what was looked at is known better.
    pub(super) looks: bool,
    pub(super) version: Version,
    pub(super) objects: Objects,
    /// What was called after commits.
    pub(super) effects: Vec<u64>,
    /// What the last transaction must see.
    pub(super) seen: Vec<Seen>,
    /// Whether it must commit something; `None`: it may.
    pub(super) commits: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Machine;

impl ReferenceStateMachine for Machine {
    type State = Reference;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Reference> {
        (proptest::bool::weighted(evolving()), any::<bool>())
            .prop_map(|(evolves, looks)| Reference {
                evolves,
                looks,
                version: Version::First,
                objects: Objects::new(),
                effects: Vec::new(),
                seen: Vec::new(),
                commits: None,
            })
            .boxed()
    }

    fn transitions(state: &Reference) -> BoxedStrategy<Step> {
        step(state.evolves)
    }

    fn preconditions(state: &Reference, step: &Step) -> bool {
        match step {
            Step::Transaction(_) => true,
            Step::Reopen(next) => state.version.precedes(*next) && (state.evolves || *next == Version::First),
        }
    }

    fn apply(mut state: Reference, step: &Step) -> Reference {
        match step {
            Step::Transaction(transaction) => state.run(transaction),
            Step::Reopen(version) => {
                state.version = *version;
                state.seen.clear();
            }
        }
        state
    }
}

pub(super) fn index(ty: Type) -> u8 {
    ty as u8
}

fn has_default(ty: Type) -> bool {
    matches!(ty, Type::Defaulted | Type::Single)
}

impl Reference {
    fn run(&mut self, transaction: &Transaction) {
        let mut attempt = Attempt { objects: self.objects.clone(), effects: Vec::new(), seen: Vec::new(), version: self.version };
        attempt.run(&transaction.ops);
        let is_changed = attempt.objects != self.objects;
        let ended = match transaction.end {
            End::Succeed if transaction.read_only && is_changed => Ended::Error(ErrorKind::ReadOnly),
            End::Succeed => Ended::Well,
            end => Ended::AsPlanned(end),
        };
        self.commits = Some(false);
        if ended == Ended::Well {
            // A record of an older version may be rewritten as one of the newer.
            self.commits = if is_changed || !self.evolves { Some(is_changed) } else { None };
            self.objects = attempt.objects;
            self.effects.extend(attempt.effects);
        }
        self.seen = attempt.seen;
        self.seen.push(Seen::Ended(ended));
    }

    /// All objects of a type, as this version shows them.
    pub(super) fn all(&self, ty: Type) -> Vec<(u8, Value)> {
        let all = self.objects.range((index(ty), 0)..=(index(ty), u8::MAX));
        all.map(|((_, key), value)| (*key, shown(value, ty, self.version))).collect()
    }
}

/// What a version shows of an object.
fn shown(value: &Value, ty: Type, version: Version) -> Value {
    let has_extra = ty == Type::User && version != Version::First;
    Value { extra: value.extra.clone().filter(|_| has_extra), ..value.clone() }
}

/// What an attempt sees and does.
struct Attempt {
    objects: Objects,
    effects: Vec<u64>,
    seen: Vec<Seen>,
    version: Version,
}

impl Attempt {
    fn run(&mut self, ops: &[Op]) {
        for op in ops {
            let seen = self.op(op);
            self.seen.push(seen);
        }
    }

    /// All objects are one of a type that has no more.
    fn at(ty: Type, key: u8) -> (u8, u8) {
        (index(ty), if ty == Type::Single { 0 } else { key })
    }

    /// As it is read: what is not there may be made of defaults.
    fn get(&self, ty: Type, key: u8) -> Option<Value> {
        let there = self.objects.get(&Self::at(ty, key)).map(|value| shown(value, ty, self.version));
        there.or_else(|| has_default(ty).then(Value::default))
    }

    fn exists(&self, ty: Type, key: u8) -> bool {
        self.objects.contains_key(&Self::at(ty, key))
    }

    /// In place of what is there; fields that this version does not know stay as they are.
    fn put(&mut self, ty: Type, key: u8, value: Value) {
        let at = Self::at(ty, key);
        let known = shown(&value, ty, self.version);
        let is_hidden = ty == Type::User && self.version == Version::First;
        let extra = if is_hidden { self.objects.get(&at).and_then(|value| value.extra.clone()) } else { known.extra };
        self.objects.insert(at, Value { extra, ..known });
    }

    /// What was changed by a handle: an object that is not there comes into being if it is other than its defaults.
    fn put_back(&mut self, ty: Type, key: u8, value: Value) {
        if self.exists(ty, key) || value != Value::default() {
            self.put(ty, key, value);
        }
    }

    fn op(&mut self, op: &Op) -> Seen {
        match op {
            Op::Get(ty, key) => self.get(*ty, *key).map_or(Seen::Error(ErrorKind::NotFound), |value| Seen::Value(Some(value))),
            Op::GetOption(ty, key) => Seen::Value(self.get(*ty, *key).filter(|_| self.exists(*ty, *key))),
            Op::Contains(ty, key) => Seen::Is(self.exists(*ty, *key)),
            Op::Insert(ty, key, value) => {
                self.put(*ty, *key, value.clone());
                Seen::Ended(Ended::Well)
            }
            Op::Remove(ty, key) => Seen::Is(self.objects.remove(&Self::at(*ty, *key)).is_some()),
            Op::Change(ty, key, change) => match self.get(*ty, *key) {
                None => Seen::Error(ErrorKind::NotFound),
                Some(value) => self.change(*ty, *key, value, change),
            },
            Op::ChangeOption(ty, key, change) => match self.get(*ty, *key).filter(|_| self.exists(*ty, *key)) {
                None => Seen::Value(None),
                Some(value) => self.change(*ty, *key, value, change),
            },
            Op::Call(ty, key, call, number) => self.call(*ty, *key, *call, *number),
            Op::Swap(ty, one, other) => self.swap(*ty, *one, *other),
            Op::WhileHeld { ty, key, for_writing, then } => self.while_held(*ty, *key, *for_writing, *then),
            Op::Keys(ty, bounds) => Seen::Keys(self.entries(*ty, *bounds).into_iter().map(|(key, _)| key).collect()),
            Op::Range(ty, bounds, take) => {
                let take = take.map_or(usize::MAX, usize::from);
                Seen::Entries(self.entries(*ty, *bounds).into_iter().take(take).collect())
            }
            Op::Nested { ops, end } => {
                let (objects, effects) = (self.objects.clone(), self.effects.len());
                self.run(ops);
                if *end == End::Succeed {
                    return Seen::Ended(Ended::Well);
                }
                self.objects = objects;
                self.effects.truncate(effects);
                Seen::Ended(Ended::AsPlanned(*end))
            }
            Op::AfterCommit(effect) => {
                self.effects.push(*effect);
                Seen::Ended(Ended::Well)
            }
        }
    }

    fn change(&mut self, ty: Type, key: u8, mut value: Value, change: &Change) -> Seen {
        match change {
            Change::Nothing | Change::AndBack => {}
            Change::ReadNumber => return Seen::Number(Some(value.number)),
            Change::SetNumber(number) => value.number = *number,
            Change::AddNumber(number) => value.number += number,
            Change::PushText(char) => value.text.push(*char),
            Change::SetExtra(extra) => value.extra.clone_from(extra),
            Change::Replace(new) => value = new.clone(),
        }
        let value = shown(&value, ty, self.version);
        self.put_back(ty, key, value.clone());
        Seen::Value(Some(value))
    }

    fn call(&mut self, ty: Type, key: u8, call: Call, number: u64) -> Seen {
        let is_there = self.exists(ty, key);
        match (self.get(ty, key), call) {
            (_, Call::Optional) if !is_there => Seen::Number(None),
            (None, _) => Seen::Error(ErrorKind::NotFound),
            (Some(value), Call::Read) => Seen::Value(Some(value)),
            (Some(mut value), Call::Plain | Call::Tracked | Call::Optional) => {
                value.number += number;
                self.put_back(ty, key, value.clone());
                Seen::Number(Some(value.number))
            }
        }
    }

    fn swap(&mut self, ty: Type, one: u8, other: u8) -> Seen {
        let Some(first) = self.get(ty, one) else { return Seen::Error(ErrorKind::NotFound) };
        if one == other {
            return Seen::Error(ErrorKind::Borrowed);
        }
        let Some(second) = self.get(ty, other) else { return Seen::Error(ErrorKind::NotFound) };
        let (number, text) = (first.number, first.text.clone());
        self.put_back(ty, one, Value { number: second.number, text: second.text.clone(), ..first });
        self.put_back(ty, other, Value { number, text, ..second });
        Seen::Ended(Ended::Well)
    }

    fn while_held(&mut self, ty: Type, key: u8, for_writing: bool, then: Then) -> Seen {
        let Some(value) = self.get(ty, key) else { return Seen::Error(ErrorKind::NotFound) };
        match then {
            Then::Get if !for_writing => Seen::Value(Some(value)),
            // It is not in the range if it is not there.
            Then::Range if !for_writing || !self.exists(ty, key) => Seen::Keys(self.keys(ty)),
            _ => Seen::Error(ErrorKind::Borrowed),
        }
    }

    fn keys(&self, ty: Type) -> Vec<u8> {
        self.entries(ty, Bounds { from: None, to: None }).into_iter().map(|(key, _)| key).collect()
    }

    fn entries(&self, ty: Type, bounds: Bounds) -> Vec<(u8, Value)> {
        let is_in = |key: u8| {
            bounds.from.is_none_or(|from| from <= key) && bounds.to.is_none_or(|(to, with)| key < to || with && key == to)
        };
        let all = self.objects.iter().filter(|((of, key), _)| *of == index(ty) && is_in(*key));
        all.map(|((_, key), value)| (*key, shown(value, ty, self.version))).collect()
    }
}
