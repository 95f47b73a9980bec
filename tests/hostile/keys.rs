//! Keys and values of any content, on every engine: they are data, and never part of a command.

use metaparticle::{Store, Tx, persistent};
use metaparticle_tests::TestStore;

#[persistent(key = (String, String))]
#[derive(Debug, PartialEq)]
struct Note {
    text: String,
    bytes: Vec<u8>,
}

/// A type whose stored name is as hostile as its keys.
#[persistent(name = "'; DROP TABLE store_0; --\"`\\{}%s\u{0}", default)]
struct Named {
    n: u64,
}

metaparticle_tests::on_every_engine! {
    hostile_keys_and_values_are_kept_as_they_are
    a_hostile_name_of_a_type_is_a_name
    keys_that_differ_in_one_character_are_different
}

/// Text that means something to somebody: to SQL, to Lua, to Redis and its globs, to shells, to formatting, to those who count in bytes.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "'",
        "''",
        "\"",
        "`",
        "\\",
        "\\'",
        "\0",
        "a\0b",
        "\r\n",
        "*3\r\n$3\r\nSET\r\n",
        "'; DROP TABLE store_0; --",
        "\"; DROP TABLE store_0; --",
        "`; DELETE FROM store_0; #",
        "' OR '1'='1",
        "x'41', 1); DELETE FROM store_0; -- ",
        "/* */ -- # ;",
        "$1",
        "?",
        ":name",
        "%",
        "%s%n%x",
        "%00",
        "_",
        "{}",
        "{0:?}",
        "{other}:r:key",
        "}:r:",
        "*",
        "[a-z]?",
        "^(.*)+$",
        "redis.call('FLUSHALL')",
        "]] redis.call('FLUSHALL') --[[",
        "' .. redis.call('FLUSHALL') .. '",
        "KEYS[1]",
        "$(touch /tmp/hostile)",
        "`touch /tmp/hostile`",
        "../../etc/passwd",
        "/",
        "NULL",
        "true",
        "é",
        "日本語",
        "\u{feff}",
        "\u{202e}",
        "a\u{301}",
        "ﬀ",
        "\u{10ffff}",
        " leading and trailing ",
        "\u{7f}\u{80}\u{ff}",
    ]
    .map(str::to_owned)
    .to_vec();
    // As long as a key may be on any engine, with the type's name and what encoding adds.
    texts.push("%'\\\"".repeat(200));
    texts
}

/// Every byte, and what is no UTF-8.
fn bytes() -> Vec<u8> {
    (0..=255).chain([0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf8, 0, b'\'', b'\\']).collect()
}

fn note(text: &str) -> Note {
    Note { text: text.to_owned(), bytes: [text.as_bytes(), &bytes()].concat() }
}

fn hostile_keys_and_values_are_kept_as_they_are(engine: &str) {
    let (store, texts) = (TestStore::new(engine), hostile());
    let put = |tx: &Tx| texts.iter().try_for_each(|text| tx.insert((text, "a"), note(text)));
    store.transaction(put).expect("all are stored at once");
    for text in &texts {
        // Alone, too: with what is compared, and what is removed.
        store.transaction(|tx| tx.insert((text, "'"), note(text))).expect("it is stored");
        store.transaction(|tx| tx.remove::<Note>((text, "'"))).expect("it is removed");
        let found = store.transaction(|tx| metaparticle::Ok(*tx.get::<Note>((text, "a"))? == note(text)));
        assert!(found.expect("it is there"), "{text:?}");
    }
    let all = |tx: &Tx| tx.range::<Note>(..).map(|found| Ok(found?.0.0)).collect::<metaparticle::Result<Vec<String>>>();
    let mut sorted = texts.clone();
    sorted.sort();
    assert_eq!(store.transaction(all).expect("all are found"), sorted);
    let one = |tx: &Tx| Ok::<_, metaparticle::Error>(tx.keys::<Note>((&*texts[11], "")..=(&*texts[11], "z")).count());
    assert_eq!(store.transaction(one).expect("one is found"), 1);
    is_untouched(&store, texts.len());
}

/// Others' stores are there, and this one has nothing that was not put into it.
fn is_untouched(store: &Store, objects: usize) {
    let inspector = metaparticle::inspect::Inspector::new(store);
    let records = inspector.records(metaparticle::inspect::Inspector::everything()).count();
    assert_eq!(records, objects + 1, "the objects, and their schema");
    assert!(!std::path::Path::new("/tmp/hostile").exists(), "a command was carried out");
}

fn a_hostile_name_of_a_type_is_a_name(engine: &str) {
    let store = TestStore::new(engine);
    for n in 1..=2 {
        let count = store.transaction(|tx| {
            let mut named = tx.get_mut::<Named>("a")?;
            named.n += 1;
            metaparticle::Ok(named.n)
        });
        assert_eq!(count.expect("counts"), n);
    }
    is_untouched(&store, 1);
}

fn keys_that_differ_in_one_character_are_different(engine: &str) {
    let store = TestStore::new(engine);
    // To a database with rules for text, some of these would be equal.
    let texts = ["a", "A", "á", "a ", "a\0", "ａ", "ss", "ß", "i", "İ"];
    store.transaction(|tx| texts.iter().try_for_each(|text| tx.insert((*text, ""), note(text)))).expect("all are stored");
    let count = store.transaction(|tx| metaparticle::Ok(tx.keys::<Note>(..).count()));
    assert_eq!(count.expect("counts"), texts.len());
}
