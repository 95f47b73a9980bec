//! What one instance answers.

use metaparticle_tests::servers::{Server, is_there};
use serde_json::{Value, json};

use super::support::Instance;

/// The sentence of an error.
fn refused(answer: (u16, Value), status: u16) -> String {
    assert_eq!(answer.0, status, "{}", answer.1);
    answer.1["error"].as_str().expect("a sentence").to_owned()
}

#[test]
fn visits_are_counted_for_each_user() {
    let web = Instance::start("memory:");
    assert_eq!(web.get("visits/ann"), (200, json!({ "count": 0 })));
    assert_eq!(web.post("visits/ann"), (200, json!({ "count": 1 })));
    assert_eq!(web.post("visits/ann"), (200, json!({ "count": 2 })));
    assert_eq!(web.post("visits/J%C3%B6rg%20%2F"), (200, json!({ "count": 1 })));
    assert_eq!(web.get("visits/ann"), (200, json!({ "count": 2 })));
}

#[test]
fn entries_are_numbered_and_shown_as_they_were_written() {
    let web = Instance::start("memory:");
    let mut live = web.live();
    for (number, text) in [(1, "hello"), (2, "<b>&\"'"), (3, "\u{1f980}")] {
        assert_eq!(web.send("entries", &json!({ "guest": "ann", "text": text })), (201, json!({ "number": number })));
        let told = live.wait_for(|told| told["key"] == number);
        assert_eq!(
            (&told["kind"], &told["entry"]["guest"], &told["entry"]["text"]),
            (&"entry".into(), &"ann".into(), &text.into())
        );
    }
    // Whoever comes later is shown the last ones, and whoever was there is not shown the first again.
    for number in 4..=25 {
        assert_eq!(web.send("entries", &json!({ "guest": "ann", "text": "again" })).1["number"], number);
    }
    let shown: Vec<u64> = web.live().take(20).map(|told| told["key"].as_u64().expect("a number")).collect();
    assert_eq!(shown, (6..=25).collect::<Vec<u64>>());
}

#[test]
fn money_is_moved_and_none_is_made_or_lost() {
    let web = Instance::start("memory:");
    let transfer = |from: &str, to: &str, amount: Value| {
        let answer = web.send("transfers", &json!({ "from": from, "to": to, "amount": amount }));
        let holds = ["ann", "ben"].map(|user| web.get(&format!("accounts/{user}")).1["balance"].clone());
        (answer, holds)
    };
    assert_eq!(web.post("accounts/ann"), (200, json!({ "balance": 100 })));
    assert_eq!(web.post("accounts/ben"), (200, json!({ "balance": 100 })));

    let (answer, holds) = transfer("ann", "ben", json!(30));
    assert_eq!((answer, holds), ((200, json!({ "from": 70, "to": 130 })), [70.into(), 130.into()]));
    // It was open already.
    assert_eq!(web.post("accounts/ann"), (200, json!({ "balance": 70 })));

    for (from, to, amount, status, says) in [
        ("ann", "ben", json!(71), 409, "the account holds 70, which is less than 71"),
        ("ann", "ben", json!(u64::MAX), 409, "less than 18446744073709551615"),
        ("ann", "nobody", json!(1), 404, "there is no Account \"nobody\""),
        ("nobody", "ben", json!(1), 404, "there is no Account \"nobody\""),
        ("ann", "ann", json!(1), 400, "same account"),
        ("ann", "ben", json!(0), 400, "nonzero"),
        ("ann", "ben", json!(-1), 400, "-1"),
        ("ann", "ben", json!(1.5), 400, "1.5"),
        ("ann", "ben", json!("1"), 400, "\"1\""),
    ] {
        let (answer, holds) = transfer(from, to, amount);
        let sentence = refused(answer, status);
        assert!(sentence.contains(says), "{sentence}");
        assert_eq!(holds, [json!(70), json!(130)]);
    }
    assert!(refused(web.get("accounts/nobody"), 404).contains("nobody"));
}

#[test]
fn what_makes_no_sense_is_refused_in_a_sentence() {
    let web = Instance::start("memory:");
    let long = "x".repeat(65);
    for name in [long.as_str(), "%20", "a%0Ab", "a%00"] {
        assert!(refused(web.post(&format!("visits/{name}")), 400).contains("1 to 64 characters"), "{name}");
    }
    assert!(refused(web.post("visits/%FF"), 400).contains("UTF-8"));
    assert_eq!(web.post(&format!("visits/{}", "%C3%B6".repeat(64))).0, 200, "characters, not bytes");

    for (body, says) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "expected"),
        (r#"{"guest":"ann"}"#, "missing field `text`"),
        (r#"{"guest":"ann","text":""}"#, "1 to 1000 characters"),
        (r#"{"guest":"ann","text":"a\nb"}"#, "in one line"),
        (r#"{"guest":"ann","text":5}"#, "text"),
        (r#"{"guest":"ann","text":"a","number":1}"#, "unknown field `number`"),
        (&format!(r#"{{"guest":"ann","text":"{}"}}"#, "x".repeat(1_001)), "1 to 1000 characters"),
        (&format!(r#"{{"guest":"ann","text":"{}"}}"#, "x".repeat(20_000)), "limit"),
    ] {
        let sentence = refused(web.send_text("entries", body), 400);
        assert!(sentence.contains(says), "{sentence}, of {body:.80}");
    }
    // Not said to be JSON, as a form on another site could send it.
    assert!(refused(web.post("entries"), 400).contains("Content-Type"));
    assert!(refused(web.get("nothing"), 404).contains("/nothing"));
    assert!(refused(web.get("entries"), 405).contains("cannot be done"));
    // Nothing of it was kept.
    assert_eq!(web.send("entries", &json!({ "guest": "ann", "text": "a" })), (201, json!({ "number": 1 })));
}

#[test]
fn a_store_that_does_not_answer_is_unavailable_and_the_answer_says_what_was_done() {
    if !is_there("postgres", "a store that does not answer") {
        return;
    }
    let server = Server::start("postgres");
    let web = Instance::start(&server.new_url());
    assert_eq!(web.post("visits/ann").0, 200);
    drop(server);
    assert!(refused(web.get("visits/ann"), 503).contains("nothing was done; try again"));
    // Whether the visit had been sent is for the engine to say.
    let sentence = refused(web.post("visits/ann"), 503);
    assert!(sentence.contains("nothing was done; try again") || sentence.contains("look before you try again"), "{sentence}");
}
