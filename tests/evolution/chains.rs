//! Structs and fields that were something else before, over several versions.

use metaparticle::{ErrorKind, Result, Store, persistent, transactional};

use metaparticle_tests::programs::Shared;

#[persistent(name = "Order")]
struct OrderV1 {
    total: f64,
    note: String,
}

#[persistent(name = "Order", from = OrderV1)]
struct OrderV2 {
    cents: i64,
    note: String,
}

impl From<OrderV1> for OrderV2 {
    fn from(old: OrderV1) -> Self {
        Self { cents: (old.total * 100.0).round() as i64, note: old.note }
    }
}

/// The third version, made of the second one, which is made of the first.
#[persistent(name = "Order", from = OrderV2)]
struct Order {
    amount: Amount,
    note: String,
    #[persistent(default)]
    paid: bool,
}

#[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq, Clone)]
struct Amount {
    cents: i64,
    currency: String,
}

impl From<OrderV2> for Order {
    fn from(old: OrderV2) -> Self {
        Self { amount: Amount { cents: old.cents, currency: "EUR".to_owned() }, note: old.note, paid: false }
    }
}

#[transactional]
fn pay(order: &mut Order) -> Result<Amount> {
    order.paid = true;
    Ok(order.amount.clone())
}

#[transactional]
fn look(order: metaparticle::Ref<Order>) -> Result<(Amount, String, bool)> {
    Ok((order.amount.clone(), order.note.clone(), order.paid))
}

fn euros(cents: i64) -> Amount {
    Amount { cents, currency: "EUR".to_owned() }
}

fn two_old_orders() -> Shared {
    let engine = Shared::in_memory();
    let insert = |tx: &metaparticle::Tx| tx.insert("one", OrderV1 { total: 12.34, note: "first".to_owned() });
    engine.program().transaction(insert).expect("inserts");
    let insert = |tx: &metaparticle::Tx| tx.insert("two", OrderV2 { cents: 500, note: "second".to_owned() });
    engine.program().transaction(insert).expect("inserts");
    engine
}

#[test]
fn records_of_every_version_are_read_through_the_chain() {
    let store = two_old_orders().program();
    assert_eq!(store.run(|| look("one")).expect("reads"), (euros(1234), "first".to_owned(), false));
    assert_eq!(store.run(|| look("two")).expect("reads"), (euros(500), "second".to_owned(), false));
}

#[test]
fn a_migrated_object_is_rewritten_only_when_it_changes() {
    let engine = two_old_orders();
    let store = engine.program();
    store.run(|| look("one")).expect("reads");
    assert_eq!(store.stats().commits, 0);
    // The second version still reads it.
    let cents = |store: &Store| store.transaction(|tx| Ok::<_, metaparticle::Error>(tx.get::<OrderV2>("one")?.cents));
    assert_eq!(cents(&engine.program()).expect("reads"), 1234);
    store.run(|| pay("one")).expect("pays");
    assert_eq!(store.run(|| look("one")).expect("reads"), (euros(1234), "first".to_owned(), true));
    let error = cents(&engine.program()).expect_err("it is of the third version now");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
}

#[test]
fn concurrent_changes_of_an_old_record_lose_nothing() {
    let engine = Shared::in_memory();
    let insert = |tx: &metaparticle::Tx| tx.insert("n", OrderV2 { cents: 0, note: String::new() });
    engine.program().transaction(insert).expect("inserts");
    let store = engine.program();
    metaparticle_tests::on_threads(4, |thread| {
        for _ in 0..100 {
            let change = |tx: &metaparticle::Tx| {
                let mut order = tx.get_mut::<Order>("n")?;
                if thread % 2 == 0 {
                    order.amount_mut().cents += 1
                } else {
                    order.note_mut().push('x')
                }
                metaparticle::Ok(())
            };
            store.transaction(change).expect("changes");
        }
    });
    let (amount, note, _) = store.run(|| look("n")).expect("reads");
    assert_eq!((amount.cents, note.len()), (200, 200));
}

mod field_before {
    #[metaparticle::persistent(name = "Event")]
    pub(super) struct Event {
        pub(super) when: String,
    }
}

mod field_between {
    #[metaparticle::persistent(name = "Event")]
    pub(super) struct Event {
        pub(super) when: u16,
    }
}

#[persistent(name = "Event")]
struct Event {
    #[persistent(migrate = parse, migrate = from_day, default)]
    when: When,
}

#[derive(serde::Serialize, serde::Deserialize, Default, Debug, PartialEq, Clone)]
struct When {
    day: u32,
    hour: u8,
}

fn parse(text: String) -> When {
    When { day: text.parse().unwrap_or(0), hour: 0 }
}

/// Of a wider type than the store has: it is converted twice.
fn from_day(day: u32) -> When {
    When { day, hour: 12 }
}

#[test]
fn a_field_is_made_of_any_of_its_earlier_types() {
    let engine = Shared::in_memory();
    let text = |tx: &metaparticle::Tx| tx.insert("text", field_before::Event { when: "17".to_owned() });
    engine.program().transaction(text).expect("inserts");
    let number = |tx: &metaparticle::Tx| tx.insert("number", field_between::Event { when: 18 });
    engine.program().transaction(number).expect_err("it cannot read what is there");
    let other = Shared::in_memory();
    other.program().transaction(number).expect("inserts");
    let when =
        |store: &Store, key: &str| store.transaction(|tx| Ok::<_, metaparticle::Error>(tx.get::<Event>(key)?.when.clone()));
    assert_eq!(when(&engine.program(), "text").expect("reads"), When { day: 17, hour: 0 });
    assert_eq!(when(&other.program(), "number").expect("reads"), When { day: 18, hour: 12 });
}

/// A struct of another name in the program keeps its objects by its stored name.
#[persistent(name = "Order")]
struct Purchase {
    cents: i64,
    note: String,
}

#[test]
fn a_renamed_struct_keeps_its_objects() {
    let engine = Shared::in_memory();
    let insert = |tx: &metaparticle::Tx| tx.insert("two", OrderV2 { cents: 500, note: "second".to_owned() });
    engine.program().transaction(insert).expect("inserts");
    let read = |tx: &metaparticle::Tx| Ok::<_, metaparticle::Error>(tx.get::<Purchase>("two")?.cents);
    assert_eq!(engine.program().transaction(read).expect("reads"), 500);
    let note = |tx: &metaparticle::Tx| Ok::<_, metaparticle::Error>(tx.get::<Purchase>("two")?.note.clone());
    assert_eq!(engine.program().transaction(note).expect("reads"), "second");
}
